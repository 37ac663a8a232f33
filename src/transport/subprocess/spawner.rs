//! The spawner: one thread that starts every child of this program.
//!
//! Promise: all children have the same, long-lived parent thread, on which the kernel's parent-death
//! signal depends; a start never blocks a runtime, and one that nobody waits for any more is undone.
//! Cost: one thread for the program; starts are one after the other, about a millisecond each.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{self, Stdio};
use std::thread;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::sync::{mpsc, oneshot};

use super::command::Command;
use super::error::SpawnError;
use super::guardian::Guardian;
use super::keeper::Keeper;
use super::launcher;
use super::link::{Link, Owner};
use super::ward::Ward;
use crate::sync::{Arc, Mutex, PerProcess};

/// A child that runs and is watched; dropped, it is retired.
pub(super) struct Started {
    pub(super) owner: Owner,
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

struct Job {
    command: Command,
    reply: oneshot::Sender<Result<Started, SpawnError>>,
}

/// Starts a child on the spawning thread.
pub(super) async fn start(command: Command) -> Result<Started, SpawnError> {
    let program = command.name();
    let refuse = |source| SpawnError::System {
        program: program.clone(),
        source,
    };
    let spawner = spawner().map_err(refuse)?;
    let (reply, started) = oneshot::channel();
    let gone = || refuse(io::Error::other("the spawning thread ended"));
    spawner.send(Job { command, reply }).map_err(|_| gone())?;
    started.await.map_err(|_| gone())?
}

type Jobs = mpsc::UnboundedSender<Job>;

/// The way to the spawning thread of this process, started if need be.
fn spawner() -> io::Result<Jobs> {
    static SPAWNER: PerProcess<Mutex<Option<Jobs>>> = PerProcess::new(|| Mutex::new(None));
    let place = SPAWNER.get_by_number();
    let mut place = place.lock();
    if let Some(spawner) = &*place {
        return Ok(spawner.clone());
    }
    let (spawner, jobs) = mpsc::unbounded_channel();
    thread::Builder::new()
        .name("plunge-spawner".into())
        .spawn(move || run(jobs))?;
    *place = Some(spawner.clone());
    Ok(spawner)
}

fn run(mut jobs: mpsc::UnboundedReceiver<Job>) {
    while let Some(Job { command, reply }) = jobs.blocking_recv() {
        if !reply.is_closed() {
            // Not taken: the caller is gone, and the child is retired by the drop.
            let _ = reply.send(start_here(&command));
        }
    }
}

fn start_here(command: &Command) -> Result<Started, SpawnError> {
    let system = |source| SpawnError::System {
        program: command.name(),
        source,
    };
    let keeper = Keeper::get().map_err(system)?; // before the child: nothing may fail after it but the pidfd
    let mut child = build(command)
        .and_then(|mut built| built.spawn())
        .map_err(|source| refusal(command, source))?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        undo(child);
        return Err(system(io::Error::other("a pipe is missing")));
    };
    let Ok(Some(pid)) = i32::try_from(child.id()).map(Pid::from_raw) else {
        undo(child);
        return Err(system(io::Error::other("a process id is out of range")));
    };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(error) => {
            undo(child);
            return Err(system(error.into()));
        }
    };
    let guardian = command.guardian.as_ref();
    let guardian = guardian.map(|(program, args)| Guardian::of(program, args));
    if let Some(guardian) = &guardian {
        guardian.enter(pid);
    }
    let id = keeper.next_id();
    let link = Arc::new(Link::new(id, child.id(), command, keeper.clone()));
    keeper.watch(
        id,
        Ward::new(
            link.clone(),
            pid,
            pidfd,
            (command.eof_grace, command.term_grace),
            guardian,
        ),
    );
    Ok(Started {
        owner: Owner(link),
        stdin: stdin.into(),
        stdout: stdout.into(),
        stderr: stderr.into(),
    })
}

fn build(command: &Command) -> io::Result<process::Command> {
    let mut built = front(command)?;
    built
        .args(&command.args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    built.process_group(0);
    if command.clear_env {
        built.env_clear();
    }
    for (key, value) in &command.env {
        match value {
            Some(value) => built.env(key, value),
            None => built.env_remove(key),
        };
    }
    if let Some(directory) = &command.current_dir {
        built.current_dir(directory);
    }
    Ok(built)
}

/// The program itself, or what leads to it.
fn front(command: &Command) -> io::Result<process::Command> {
    let Some((launcher, args)) = &command.launcher else {
        return Ok(process::Command::new(&command.program));
    };
    let mut front = process::Command::new(launcher);
    front.args(args).args(launcher::arguments(command)?);
    Ok(front)
}

/// Ends a child that cannot be watched. It just started and is killed at once, so the wait is short.
fn undo(mut child: process::Child) {
    if let Ok(Some(group)) = i32::try_from(child.id()).map(Pid::from_raw) {
        // An error means that it ended; it is not reaped yet, so the number is its own.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// What a failed start means for whoever wrote the command.
fn refusal(command: &Command, source: io::Error) -> SpawnError {
    let program = command.name();
    if let Some(directory) = &command.current_dir
        && !directory.is_dir()
    {
        return SpawnError::WorkingDirectory {
            program,
            directory: directory.clone(),
        };
    }
    match source.kind() {
        io::ErrorKind::NotFound => SpawnError::NotFound { program },
        io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput => {
            SpawnError::NotExecutable { program, source }
        }
        _ if source.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
            SpawnError::NotExecutable { program, source }
        }
        _ => SpawnError::System { program, source },
    }
}
