//! How the last start of a peer went, for who asks whether the next request would be served.
//!
//! Cost: a short lock a start.

use tokio::time::Instant;

use crate::proxy::options::ServeOptions;
use crate::sync::Mutex;

/// When the last start failed, if it did.
#[derive(Debug, Default)]
pub struct LastStart(Mutex<Option<Instant>>);

impl LastStart {
    /// Waits for a start and notes how it ended; dropped before, it failed.
    pub async fn of<T, E>(&self, start: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let failing = Failing(self);
        let started = start.await;
        drop(failing);
        if started.is_ok() {
            *self.0.lock() = None;
        }
        started
    }

    /// Whether the next one would fail, as far as is known: where none is kept ready nobody tries again, and what
    /// was a while ago says nothing.
    pub fn fails(&self, options: &ServeOptions) -> bool {
        let failed = *self.0.lock();
        failed.is_some_and(|failed| options.min_idle > 0 || failed.elapsed() < options.lately())
    }
}

/// A start that was not seen to succeed.
struct Failing<'a>(&'a LastStart);

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        *self.0.0.lock() = Some(Instant::now());
    }
}
