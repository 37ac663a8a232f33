//! What the owner, the tasks and the keeper of one child share.
//!
//! Promise: whoever learns first that the child is dead tells everybody, once.
//! Cost: one allocation a child.

use crate::sync::{Arc, AtomicBool, Ordering};
use std::process::ExitStatus;

use tokio::sync::Notify;

use super::command::Command;
use super::counters::Counters;
use super::death::Death;
use super::keeper::Keeper;
use super::queue::LineQueue;
use super::sink::SinkSlot;
use super::state::State;

/// One child, seen from inside.
pub(super) struct Link {
    pub(super) id: u64,
    pub(super) pid: u32,
    pub(super) single_shot: bool,
    pub(super) max_line_bytes: usize,
    pub(super) state: State,
    pub(super) queue: LineQueue,
    pub(super) sink: SinkSlot,
    pub(super) counters: Counters,
    /// Wakes the reader: the child is dead.
    pub(super) reader: Notify,
    /// Wakes the reader of standard error: the process is gone.
    pub(super) stderr: Notify,
    /// Wakes the one that waits in `close`: the process is gone.
    pub(super) gone: Notify,
    /// Whether the last chunk that was read held several lines.
    crowded: AtomicBool,
    keeper: Keeper,
}

impl Link {
    pub(super) fn new(id: u64, pid: u32, command: &Command, keeper: Keeper) -> Self {
        Self {
            id,
            pid,
            single_shot: command.single_shot,
            max_line_bytes: command.max_line_bytes,
            state: State::default(),
            queue: LineQueue::new(command.stdin_queue_bytes),
            sink: SinkSlot::default(),
            counters: Counters::default(),
            reader: Notify::new(),
            stderr: Notify::new(),
            gone: Notify::new(),
            crowded: AtomicBool::new(false),
            keeper,
        }
    }

    /// Whether several requests are in flight, as far as its answers tell: they came together.
    pub(super) fn is_crowded(&self) -> bool {
        // Relaxed: a hint on when to write, nothing is published with it.
        self.crowded.load(Ordering::Relaxed)
    }

    /// Notes how many lines came together.
    pub(super) fn came(&self, lines: usize) {
        // Relaxed: see `is_crowded`.
        self.crowded.store(lines > 1, Ordering::Relaxed);
    }

    /// Makes the child dead, unless it is, and starts its retirement.
    pub(super) fn die(&self, death: Death) {
        if self.state.die(death) {
            self.tell(death);
            self.keeper.retire(self.id);
        }
    }

    /// Notes how the process ended. Called by the keeper.
    pub(super) fn exited(&self, status: ExitStatus) {
        if self.state.exit(status) {
            self.tell(Death::Exited(status));
        }
    }

    /// Notes that somebody else took its exit status. Called by the keeper.
    pub(super) fn lost(&self) {
        if self.state.die(Death::ReapedElsewhere) {
            self.tell(Death::ReapedElsewhere);
        }
    }

    /// Notes that nothing is left of the process. Called by the keeper, last.
    pub(super) fn set_gone(&self) {
        self.state.set_gone();
        self.stderr.notify_one();
        self.gone.notify_one();
    }

    /// Ends the process group now, without a grace.
    pub(super) fn kill(&self) {
        self.die(Death::Retired); // the reason, before the exit that follows could be it
        self.keeper.kill(self.id);
    }

    fn tell(&self, death: Death) {
        tracing::debug!(pid = self.pid, %death, "child is dead");
        self.queue.close();
        self.reader.notify_one();
    }
}

/// The right to the child: dropped, the child is retired. Never blocks, needs no runtime.
pub(super) struct Owner(pub(super) Arc<Link>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.die(Death::Retired);
    }
}
