//! Kept off: how much of their time the threads of a block were without a core that somebody else had.
//!
//! Promise: the kernel's own counts, so that a block which had one core and a half is not compared with one that
//! had two. Where there is a core for each thread, it is the time that they stood in line. Where there are more
//! threads than cores they stand in line for each other: there it is what the process did not get of its cores,
//! which is for threads that always have something to do. Where a system does not say, it is nothing.
//! Cost: before and after a block a file of the kernel a thread, or a look at a clock.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::pin::cores;

/// The threads that a block plays on.
pub struct Players {
    /// How many there will be.
    count: usize,
    ids: Mutex<Vec<i32>>,
}

/// What the kernel had counted when the clock started.
pub struct Before {
    at: Instant,
    stood: Duration,
    spent: Duration,
}

impl Players {
    /// For so many threads.
    pub fn new(count: usize) -> Self {
        Self {
            count,
            ids: Mutex::default(),
        }
    }

    /// Adds the calling thread.
    pub fn join(&self) {
        if let Some(id) = own_id() {
            self.lock().push(id);
        }
    }

    /// Starts the clock.
    pub fn start(&self) -> Before {
        Before {
            at: Instant::now(),
            stood: self.stood(),
            spent: spent().unwrap_or_default(),
        }
    }

    /// The part of the time since then for which they were kept off, on average.
    pub fn kept_off(&self, before: &Before) -> f64 {
        let lasted = before.at.elapsed();
        if self.has_cores() {
            let stood = self.stood().saturating_sub(before.stood);
            return part(stood, lasted, self.count);
        }
        let got = spent().map(|spent| spent.saturating_sub(before.spent));
        got.map_or(0.0, |got| (1.0 - part(got, lasted, cores())).max(0.0))
    }

    /// Whether there is a core for each.
    fn has_cores(&self) -> bool {
        self.count <= cores()
    }

    /// How long all of them together have stood in line so far; nothing where it would say nothing.
    fn stood(&self) -> Duration {
        match self.has_cores() {
            true => self.lock().iter().map(|id| stood(*id)).sum(),
            false => Duration::ZERO,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<i32>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `time` is of what `many` had together.
fn part(time: Duration, lasted: Duration, many: usize) -> f64 {
    let all = lasted.as_secs_f64() * many.max(1) as f64;
    time.as_secs_f64() / all.max(f64::MIN_POSITIVE)
}

/// How long a thread of this process stood in line: the second number of its `schedstat`.
fn stood(id: i32) -> Duration {
    let text = fs::read_to_string(format!("/proc/self/task/{id}/schedstat")).unwrap_or_default();
    let nanos = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// How long the threads of this process have run so far.
#[cfg(target_os = "linux")]
fn spent() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).ok()
}

#[cfg(not(target_os = "linux"))]
fn spent() -> Option<Duration> {
    None
}

#[cfg(target_os = "linux")]
fn own_id() -> Option<i32> {
    Some(rustix::thread::gettid().as_raw_nonzero().get())
}

#[cfg(not(target_os = "linux"))]
fn own_id() -> Option<i32> {
    None
}
