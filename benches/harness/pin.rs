//! Pin: a thread's place on one core.
//!
//! Promise: the n-th thread is on the n-th core that the process may use, round and round, so that two
//! workers have two cores from their first instruction on: a kernel leaves two new threads on one core for
//! as long as a block, now and then, and whoever played meanwhile looks half as fast. Where a system does
//! not know this, nothing happens.
//! Cost: two system calls a thread.

#[cfg(target_os = "linux")]
use std::sync::OnceLock;

#[cfg(target_os = "linux")]
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores of the process, as the first thread that asked saw them.
#[cfg(target_os = "linux")]
fn allowed() -> &'static [usize] {
    static CORES: OnceLock<Vec<usize>> = OnceLock::new();
    CORES.get_or_init(|| {
        let allowed = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        let cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        cores.collect()
    })
}

/// How many cores the process may use.
#[cfg(target_os = "linux")]
pub fn cores() -> usize {
    allowed().len().max(1)
}

#[cfg(not(target_os = "linux"))]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Puts the calling thread on its core.
#[cfg(target_os = "linux")]
pub fn pin(nth: usize) {
    let cores = allowed();
    if let Some(core) = cores.get(nth % cores.len().max(1)) {
        let mut one = CpuSet::new();
        one.set(*core);
        // Refused, it is a thread like any other, and the distance tells.
        let _ = sched_setaffinity(None, &one);
    }
}

#[cfg(not(target_os = "linux"))]
pub fn pin(_nth: usize) {}
