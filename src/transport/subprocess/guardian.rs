//! The guardian: a process of its own that outlives the program by a moment, to end what it left.
//!
//! The parent-death signal ([`exec_tied_to_parent`](super::exec_tied_to_parent)) reaches children, not
//! theirs. So the program names the process group of each child to a small process beside it, over a pipe;
//! when the pipe ends, whatever the program died of, the guardian kills the groups that are left.
//!
//! Promise: no process of such a group survives the program. Not promised: one that moved to another group;
//! what a child started in the moment between its own start and its naming, if the program is killed then;
//! anything before a forked child of the program, which has the pipe too, ends or calls `exec`.
//! Cost: one process for the program, started with the first child; a short write a child at its start and
//! at its end.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::process::{self, ChildStdin, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::sync::{Arc, Mutex, PerProcess};

/// Reads the names of process groups until the input ends, and kills those that are left.
///
/// For the program that [`Command::guarded_by`](super::Command::guarded_by) names; call it first thing in
/// `main`.
///
/// # Errors
///
/// That of the input; the groups are killed all the same.
pub fn guard_groups(input: impl BufRead) -> io::Result<()> {
    let mut groups = HashSet::new();
    let mut ended = Ok(());
    for line in input.split(b'\n') {
        match line {
            Ok(line) => note(&mut groups, &line),
            Err(error) => {
                ended = Err(error);
                break;
            }
        }
    }
    for group in groups {
        // An error means that nobody is left in it.
        let _ = kill_process_group(group, Signal::KILL);
    }
    ended
}

fn note(groups: &mut HashSet<Pid>, line: &[u8]) {
    let text = std::str::from_utf8(line).unwrap_or_default();
    let (Some(sign), Some(number)) = (text.chars().next(), text.get(1..)) else {
        return;
    };
    // Above 1: neither this process's own group nor every process there is.
    let number = number.parse().ok().filter(|number| *number > 1);
    let Some(group) = number.and_then(Pid::from_raw) else {
        return;
    };
    match sign {
        '+' => _ = groups.insert(group),
        '-' => _ = groups.remove(&group),
        _ => {}
    }
}

/// The program's side.
pub(super) struct Guardian {
    program: OsString,
    args: Vec<OsString>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    groups: HashSet<Pid>,
    process: Option<(process::Child, ChildStdin)>,
}

impl Guardian {
    /// The guardian of this process; the first that is named serves all.
    pub(super) fn of(program: &OsString, args: &[OsString]) -> Arc<Self> {
        static GUARDIAN: PerProcess<Mutex<Option<Arc<Guardian>>>> =
            PerProcess::new(|| Mutex::new(None));
        let place = GUARDIAN.get_by_number();
        let mut place = place.lock();
        let guardian = place.get_or_insert_with(|| {
            Arc::new(Self {
                program: program.clone(),
                args: args.to_vec(),
                state: Mutex::default(),
            })
        });
        guardian.clone()
    }

    /// Names a group to be killed at the end.
    pub(super) fn enter(&self, group: Pid) {
        let mut state = self.state.lock();
        state.groups.insert(group);
        if self.write(&mut state, '+', group).is_err()
            && let Err(error) = self.start(&mut state)
        {
            tracing::warn!(%error, "no guardian: what children start may outlive a killed program");
        }
    }

    /// Takes a group off the list; before its number can be given to others.
    pub(super) fn leave(&self, group: Pid) {
        let mut state = self.state.lock();
        state.groups.remove(&group);
        if self.write(&mut state, '-', group).is_err() {
            // The next start names those that are left.
            end(state.process.take());
        }
    }

    fn write(&self, state: &mut State, sign: char, group: Pid) -> io::Result<()> {
        let Some((_, input)) = &mut state.process else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        // One write of a few bytes to a pipe is whole or an error; it never waits.
        input.write_all(format!("{sign}{}\n", group.as_raw_nonzero()).as_bytes())
    }

    /// Starts the process and names every group to it.
    fn start(&self, state: &mut State) -> io::Result<()> {
        end(state.process.take());
        let mut child = process::Command::new(&self.program)
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A signal to the program's own group is none to it.
            .process_group(0)
            .spawn()?;
        let Some(input) = child.stdin.take() else {
            end_child(child);
            return Err(io::Error::other("a pipe is missing"));
        };
        // Ended with the rest, should it fail.
        let refused = rustix::io::ioctl_fionbio(&input, true);
        state.process = Some((child, input));
        if let Err(error) = refused {
            end(state.process.take());
            return Err(error.into());
        }
        let named =
            (state.groups.clone().into_iter()).try_for_each(|group| self.write(state, '+', group));
        // One that knows a part of them would pass for one that knows all.
        named.inspect_err(|_| end(state.process.take()))
    }
}

/// Ends a guardian that does not read: it is not to act on what it knows.
fn end(process: Option<(process::Child, ChildStdin)>) {
    if let Some((child, input)) = process {
        // Before its input ends, which would be its sign.
        end_child(child);
        drop(input);
    }
}

fn end_child(mut child: process::Child) {
    let _ = child.kill();
    let _ = child.wait();
}
