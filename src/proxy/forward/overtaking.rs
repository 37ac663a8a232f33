//! Lines that overtake others: each is taken at once, whatever those before it wait for.
//!
//! Promise: how many are on their way is bounded, and so are their bytes; who drops it ends them.

use tokio::task::JoinSet;

/// Lines that may be on their way.
const MAX_LINES: usize = 256;
/// Their bytes; one longer line still has room.
const MAX_BYTES: usize = 4 << 20;

/// The lines.
#[derive(Default)]
pub struct Overtaking {
    taken: JoinSet<usize>,
    bytes: usize,
}

impl Overtaking {
    /// Adds one of so many bytes, and has it taken.
    pub fn add(&mut self, bytes: usize, taking: impl Future<Output = ()> + Send + 'static) {
        self.bytes += bytes;
        self.taken.spawn(async move {
            taking.await;
            bytes
        });
    }

    /// Whether another one may be added.
    pub fn has_room(&self) -> bool {
        self.taken.len() < MAX_LINES && self.bytes < MAX_BYTES
    }

    /// Whether all have been taken.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// Waits until one was taken; for ever where there is none.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn one_taken(&mut self) {
        match self.taken.join_next().await {
            Some(Ok(bytes)) => self.bytes -= bytes,
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Some(Err(_)) => {} // the runtime ends
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
#[path = "overtaking_tests.rs"]
mod tests;
