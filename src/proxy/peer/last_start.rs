//! How the last start of a peer went, for who asks whether the next request would be served.
//!
//! Cost: a short lock a start.

use tokio::time::Instant;

use crate::proxy::options::ServeOptions;
use crate::sync::Mutex;

/// When the last start failed, if it did.
#[derive(Debug, Default)]
pub struct LastStart(Mutex<Option<Failed>>);

#[derive(Debug)]
struct Failed {
    at: Instant,
    /// Why, where it was taken for one that succeeded, so that nobody else was told.
    why: Option<String>,
}

impl LastStart {
    /// Waits for a start and notes how it ended; dropped before, it failed.
    pub async fn of<T, E>(&self, start: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let mut failing = Failing(Some(self));
        let started = start.await;
        if started.is_ok() {
            failing.0 = None;
            *self.0.lock() = None;
        }
        started
    }

    /// Notes that it failed after all.
    pub fn fail(&self, why: String) {
        self.set(Some(why));
    }

    /// Why it failed, where that is known here alone.
    pub fn why(&self) -> Option<String> {
        self.0.lock().as_ref()?.why.clone()
    }

    fn set(&self, why: Option<String>) {
        let at = Instant::now();
        *self.0.lock() = Some(Failed { at, why });
    }

    /// Whether the next one would fail, as far as is known: where none is kept ready nobody tries again, and what
    /// was a while ago says nothing.
    pub fn fails(&self, options: &ServeOptions) -> bool {
        let failed = self.0.lock().as_ref().map(|failed| failed.at);
        failed.is_some_and(|failed| options.min_idle > 0 || failed.elapsed() < options.lately())
    }
}

/// A start that was not seen to succeed.
struct Failing<'a>(Option<&'a LastStart>);

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        if let Some(last) = self.0 {
            last.set(None);
        }
    }
}
