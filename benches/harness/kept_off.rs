//! Kept off: how much of their time the threads of a block were without a core that somebody else had.
//!
//! Promise: the kernel's own counts, so that a block which had one core and a half is not compared with one that
//! had two. Where there is a core for each thread, it is the time that they stood in line. Where there are more
//! threads than cores they stand in line for each other: there it is what the process did not get of its cores,
//! unless the line was so short that they left cores idle by themselves. Where a system does not say, it is nothing.
//! Cost: a file of the kernel a thread, and a look at a clock, before and after a block.

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

/// How many stand in line for a core, on average, where no core is ever idle: three to fifteen did so in cases of
/// four and sixteen threads a core, and less than one where threads wait for each other.
const LINE: f64 = 1.0;

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
        let stood = self.stood().saturating_sub(before.stood);
        if self.count <= cores() {
            return part(stood, lasted, self.count);
        }
        let got = spent().map(|spent| spent.saturating_sub(before.spent));
        match (got, part(stood, lasted, cores()) < LINE) {
            (Some(got), false) => (1.0 - part(got, lasted, cores())).max(0.0),
            _ => 0.0,
        }
    }

    /// How long all of them together have stood in line so far.
    fn stood(&self) -> Duration {
        self.lock().iter().map(|id| stood(*id)).sum()
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
