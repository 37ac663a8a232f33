//! One child on its way from its start to its end, as the keeper sees it.
//!
//! Promise: the process group is signalled only while its leader is not reaped, so that no number
//! that was given to somebody else is ever hit; the leader is reaped, and nothing survives in its group.
//!
//! | stage     | entered when                         | left after            | for                    |
//! |-----------|--------------------------------------|-----------------------|------------------------|
//! | `Serving` | the child starts                     | its death             | `Closed`               |
//! | `Closed`  | its input is closed by its writer    | `eof_grace`           | `Asked` (SIGTERM)      |
//! | `Asked`   | SIGTERM went to the group            | `term_grace`          | `Killed` (SIGKILL)     |
//! | `Killed`  | SIGKILL went to the group            | [`AGAIN`]             | `Killed`               |
//!
//! From every stage the exit of the leader leads to the end: SIGKILL to what is left of the group, reap.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{self, Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus};
use tokio::time::Instant;

use super::guardian::Guardian;
use super::link::Link;
use crate::sync::Arc;

/// How often a child that does not end is killed again and looked at.
const AGAIN: Duration = Duration::from_millis(250);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    Closed,
    Asked,
    Killed,
}

pub(super) struct Ward {
    link: Arc<Link>,
    pid: Pid,
    pub(super) pidfd: OwnedFd,
    eof_grace: Duration,
    term_grace: Duration,
    guardian: Option<Arc<Guardian>>,
    stage: Stage,
    /// When the stage ends by itself.
    pub(super) deadline: Option<Instant>,
}

impl Ward {
    pub(super) fn new(
        link: Arc<Link>,
        pid: Pid,
        pidfd: OwnedFd,
        graces: (Duration, Duration),
        guardian: Option<Arc<Guardian>>,
    ) -> Self {
        let (eof_grace, term_grace) = graces;
        Self {
            link,
            pid,
            pidfd,
            eof_grace,
            term_grace,
            guardian,
            stage: Stage::Serving,
            deadline: None,
        }
    }

    /// Starts the retirement; a second call changes nothing.
    pub(super) fn retire(&mut self, now: Instant) {
        if self.stage == Stage::Serving {
            self.enter(Stage::Closed, now);
        }
    }

    pub(super) fn is_retiring(&self) -> bool {
        self.stage != Stage::Serving
    }

    /// Ends it now.
    pub(super) fn kill(&mut self, now: Instant) {
        self.enter(Stage::Killed, now);
    }

    /// Enters the next stage, its deadline being over.
    pub(super) fn advance(&mut self, now: Instant) {
        let next = match self.stage {
            Stage::Serving | Stage::Closed => Stage::Asked,
            Stage::Asked | Stage::Killed => Stage::Killed,
        };
        self.enter(next, now);
    }

    fn enter(&mut self, stage: Stage, now: Instant) {
        self.stage = stage;
        let time = match stage {
            Stage::Serving => return,
            Stage::Closed => self.eof_grace,
            Stage::Asked => {
                tracing::debug!(pid = self.link.pid, "child outlives its input: SIGTERM");
                self.signal(Signal::TERM);
                self.term_grace
            }
            Stage::Killed => {
                self.signal(Signal::KILL);
                AGAIN
            }
        };
        self.deadline = now.checked_add(time); // none: a grace without end, as asked for
    }

    /// Looks whether the leader ended; if so, ends its group and reaps it: `true`, nothing is left.
    pub(super) fn collect(&mut self) -> bool {
        // Without reaping: as long as the leader is not reaped, the group's number is ours.
        match wait_for(self.pid, WaitIdOptions::NOWAIT) {
            Ok(None) => return false,
            Ok(Some(status)) => {
                self.link.exited(exit_status(&status));
                self.signal(Signal::KILL);
                self.unguard();
                // The same answer again, now for good; an error means that it is reaped already.
                let _ = wait_for(self.pid, WaitIdOptions::empty());
            }
            // Not our child any more: the number may be another's, so nothing is signalled.
            Err(_) => {
                self.unguard();
                self.link.lost();
            }
        }
        self.link.set_gone();
        true
    }

    /// Takes the group off the guardian's list, while its number is still its own.
    fn unguard(&self) {
        if let Some(guardian) = &self.guardian {
            guardian.leave(self.pid);
        }
    }

    /// Signals the whole group; the leader alone if it left the group. Only while it is not reaped.
    fn signal(&self, signal: Signal) {
        let group = process::kill_process_group(self.pid, signal);
        if group.is_err() || signal == Signal::KILL {
            // The pidfd names this process and no other; an error means that it ended.
            let _ = process::pidfd_send_signal(&self.pidfd, signal);
        }
    }
}

fn wait_for(pid: Pid, how: WaitIdOptions) -> rustix::io::Result<Option<WaitIdStatus>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | how;
    loop {
        match process::waitid(WaitId::Pid(pid), options) {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

/// The status as `wait` would have given it.
fn exit_status(status: &WaitIdStatus) -> ExitStatus {
    const DUMPED: i32 = 0x80;
    let raw = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => (code & 0xff) << 8,
        (None, Some(signal)) if status.dumped() => signal | DUMPED,
        (None, Some(signal)) => signal,
        (None, None) => 0,
    };
    ExitStatus::from_raw(raw)
}
