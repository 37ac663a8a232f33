//! Where the lines of a child go.
//!
//! Promise: a line goes to whoever was there when it was read, and to nobody else; whoever is there
//! at the end learns of the death exactly once, after the last line.
//! Cost: one short lock for each chunk read, not for each line.

use bytes::Bytes;
use tokio::sync::oneshot;

use super::death::Death;
use crate::sync::{Arc, Mutex};

/// Takes the lines of a child, in order.
///
/// Called on the task that reads the child: a slow sink slows that child, nothing else. A sink that
/// panics costs its child ([`Death::Unattended`]).
pub trait LineSink: Send + Sync {
    /// Takes one line, without its line end. Any line: it may be empty, no JSON, or invalid UTF-8.
    fn on_line(&self, line: Bytes);

    /// Learns that no line will follow. Called exactly once, after the last line.
    fn on_death(&self, death: &Death);
}

/// A request that waits for its line.
pub(super) struct Waiting {
    /// Whether only a line that starts like a JSON object or array is an answer.
    pub(super) json: bool,
    pub(super) answer: oneshot::Sender<Bytes>,
}

/// Who gets the lines.
#[derive(Default)]
enum Target {
    #[default]
    Nobody,
    Sink(Arc<dyn LineSink>),
    Request(Waiting),
}

/// Who gets the lines of one chunk.
pub(super) enum Current {
    Nobody,
    Sink(Arc<dyn LineSink>),
    Request { json: bool },
}

/// The place of the sink. The lock is never held while user code runs.
#[derive(Default)]
pub(super) struct SinkSlot(Mutex<Slot>);

#[derive(Default)]
struct Slot {
    target: Target,
    ended: Option<Death>,
}

impl SinkSlot {
    pub(super) fn attach(&self, sink: Arc<dyn LineSink>) {
        let mut slot = self.0.lock();
        let Some(death) = slot.ended else {
            let earlier = std::mem::replace(&mut slot.target, Target::Sink(sink));
            drop(slot); // an earlier sink may drop anything
            drop(earlier);
            return;
        };
        drop(slot);
        sink.on_death(&death);
    }

    pub(super) fn detach(&self) {
        drop(self.take());
    }

    /// Makes a request the target; at the end of the child it is dropped at once.
    pub(super) fn wait(&self, waiting: Waiting) {
        let mut slot = self.0.lock();
        if slot.ended.is_none() {
            let earlier = std::mem::replace(&mut slot.target, Target::Request(waiting));
            drop(slot);
            drop(earlier);
        }
    }

    pub(super) fn current(&self) -> Current {
        match &self.0.lock().target {
            Target::Nobody => Current::Nobody,
            Target::Sink(sink) => Current::Sink(sink.clone()),
            Target::Request(waiting) => Current::Request { json: waiting.json },
        }
    }

    /// Answers the waiting request; `false` if nobody waits any more.
    pub(super) fn answer(&self, line: Bytes) -> bool {
        match self.take() {
            Target::Request(waiting) => waiting.answer.send(line).is_ok(),
            Target::Nobody | Target::Sink(_) => false,
        }
    }

    /// Tells the target that no line will follow. The first call counts.
    pub(super) fn end(&self, death: Death) {
        let mut slot = self.0.lock();
        if slot.ended.is_some() {
            return;
        }
        slot.ended = Some(death);
        let target = std::mem::take(&mut slot.target);
        drop(slot);
        if let Target::Sink(sink) = target {
            sink.on_death(&death);
        }
    }

    fn take(&self) -> Target {
        std::mem::take(&mut self.0.lock().target)
    }
}
