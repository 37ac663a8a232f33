//! What is heard of a peer: the lines that it writes, read once for whoever takes them.
//!
//! Promise: a message is passed on as it came, but for what every reader mends alike; a line that is none is counted, and
//! whoever it leaves without an answer is told. Cost: a store and a counted reference a line.

use bytes::Bytes;

use super::{Stray, Strays};
use crate::proxy::wire::{self, Envelope, EnvelopeError, Fault, RequestId};
use crate::sync::{Arc, AtomicBool, AtomicU64, Ordering};

/// Whether anything was, and how much of it was for nobody.
#[derive(Debug, Default)]
pub struct Heard {
    lately: AtomicBool,
    dropped: AtomicU64,
    /// Those of all peers of the upstream.
    strays: Arc<Strays>,
}

impl Heard {
    /// Nothing yet; what serves nobody is counted there, too.
    pub fn counting(strays: &Arc<Strays>) -> Self {
        Self {
            strays: strays.clone(),
            ..Self::default()
        }
    }

    /// Takes a line: a message goes to `on_message`, each of a batch by itself; of what was meant to answer a request,
    /// and cannot be read, `on_broken` learns.
    pub fn line(
        &self,
        line: Bytes,
        on_message: &impl Fn(Bytes, &Envelope<'_>),
        on_broken: &impl Fn(&RequestId, Fault),
    ) {
        self.sign();
        if wire::is_batch(&line) {
            return self.batch(&line, on_message, on_broken);
        }
        self.message(line, on_message, on_broken);
    }

    fn message(
        &self,
        line: Bytes,
        on_message: &impl Fn(Bytes, &Envelope<'_>),
        on_broken: &impl Fn(&RequestId, Fault),
    ) {
        let copy = line.clone();
        match wire::parse(&copy) {
            Ok(message) => on_message(line, &message),
            Err(error) => self.message_slow(&copy, &error, on_message, on_broken),
        }
    }

    #[cold]
    fn message_slow(
        &self,
        line: &[u8],
        error: &EnvelopeError,
        on_message: &impl Fn(Bytes, &Envelope<'_>),
        on_broken: &impl Fn(&RequestId, Fault),
    ) {
        if str::from_utf8(line).is_err() {
            self.strays.add(Stray::NoUtf8);
        }
        if let Some(line) = wire::mended(line, error) {
            return self.message(line, on_message, on_broken);
        }
        self.drop_as(Stray::NoMessage);
        if let Some((id, fault)) = wire::broken_answer(line, error) {
            on_broken(&id, fault);
        }
    }

    /// Servers of 2025-03-26 may answer several requests at once.
    #[cold]
    fn batch(
        &self,
        line: &Bytes,
        on_message: &impl Fn(Bytes, &Envelope<'_>),
        on_broken: &impl Fn(&RequestId, Fault),
    ) {
        let items = wire::batch_items(line).unwrap_or_default();
        if items.is_empty() {
            self.drop_as(Stray::NoMessage);
        }
        for item in items {
            self.message(item, on_message, on_broken);
        }
    }

    /// Notes a sign of life.
    pub fn sign(&self) {
        // Relaxed: see `lately`.
        self.lately.store(true, Ordering::Relaxed);
    }

    /// Whether there was any since this was asked last.
    pub fn lately(&self) -> bool {
        // Relaxed: a flag on its own, for a probe that looks again soon.
        self.lately.swap(false, Ordering::Relaxed)
    }

    /// Counts a line that is for nobody.
    pub fn drop_line(&self) {
        // Relaxed: a count for a page.
        self.dropped.fetch_add(1, Ordering::Relaxed);
        self.strays.add(Stray::Dropped);
    }

    /// The same of one of a kind that is counted by itself.
    pub fn drop_as(&self, stray: Stray) {
        self.strays.add(stray);
        self.drop_line();
    }

    /// How many were.
    pub fn dropped(&self) -> u64 {
        // Relaxed: a count for a page.
        self.dropped.load(Ordering::Relaxed)
    }
}
