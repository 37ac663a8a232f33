//! The core that a worker keeps to.
//!
//! Promise: as many workers as there are cores keep to one each; fewer or more go where the system puts them,
//! as all do where it refuses.
//! Cost: two system calls a worker, at its start. A scheduler that moves workers after each wake-up leaves two
//! on one core for some milliseconds now and then: that is what the slowest of a hundred answers waits for.

#[cfg(target_os = "linux")]
mod system {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    /// A core for each worker, if there are as many of one as of the other.
    pub fn one_each(workers: usize) -> Option<Vec<usize>> {
        let allowed = sched_getaffinity(None).ok()?;
        let cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let cores: Vec<usize> = cores.collect();
        (cores.len() == workers && workers > 1).then_some(cores)
    }

    /// The thread that calls this keeps to the core.
    pub fn keep_to(core: usize) {
        let mut one = CpuSet::new();
        one.set(core);
        if let Err(error) = sched_setaffinity(None, &one) {
            tracing::debug!(%error, core, "a worker goes where the system puts it");
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub fn one_each(_workers: usize) -> Option<Vec<usize>> {
        None
    }

    pub fn keep_to(_core: usize) {}
}

pub use system::{keep_to, one_each};

#[cfg(test)]
#[path = "cores_tests.rs"]
mod tests;
