//! Kept off: how much of their time the workers of a block waited for a core that somebody else had.
//!
//! Promise: the kernel's own count of what a thread that could run stood in line for, so that a block which
//! had one core and a half is not compared with one that had two. Where a system does not say, it is nothing.
//! Cost: a file of the kernel a worker, read before and after a block.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The threads that a block plays on.
#[derive(Default)]
pub struct Workers(Mutex<Vec<i32>>);

impl Workers {
    /// Adds the calling thread.
    pub fn join(&self) {
        if let Some(id) = own_id() {
            self.lock().push(id);
        }
    }

    /// How long all of them together have stood in line so far.
    pub fn stood(&self) -> Duration {
        self.lock().iter().map(|id| stood(*id)).sum()
    }

    /// The part of `lasted` for which one of them stood in line since `before`, on average.
    pub fn part(&self, before: Duration, lasted: Duration) -> f64 {
        let all = lasted.as_secs_f64() * self.lock().len().max(1) as f64;
        self.stood().saturating_sub(before).as_secs_f64() / all.max(f64::MIN_POSITIVE)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<i32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a thread of this process stood in line: the second number of its `schedstat`.
fn stood(id: i32) -> Duration {
    let text = fs::read_to_string(format!("/proc/self/task/{id}/schedstat")).unwrap_or_default();
    let nanos = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

#[cfg(target_os = "linux")]
fn own_id() -> Option<i32> {
    Some(rustix::thread::gettid().as_raw_nonzero().get())
}

#[cfg(not(target_os = "linux"))]
fn own_id() -> Option<i32> {
    None
}
