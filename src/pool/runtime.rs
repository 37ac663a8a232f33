//! Where the pool's own tasks run.
//!
//! Promise: a runtime that was shut down is noticed, and the caller's is used instead; with none
//! at all there is an error, not a hang.

use std::future::Future;

use tokio::runtime::Handle;

use crate::sync::{Arc, AtomicBool, Ordering};

/// No runtime would take a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRuntime;

#[derive(Debug)]
pub(crate) struct Runtimes {
    configured: Option<Handle>,
    /// The configured runtime was shut down.
    gone: AtomicBool,
}

impl Runtimes {
    pub(crate) fn new(configured: Option<Handle>) -> Self {
        Self {
            configured,
            gone: AtomicBool::new(false),
        }
    }

    /// The configured runtime, for timers of callers that have none.
    pub(crate) fn configured(&self) -> Option<&Handle> {
        // Relaxed: a flag on its own.
        self.configured
            .as_ref()
            .filter(|_| !self.gone.load(Ordering::Relaxed))
    }

    /// Spawns what `task` makes; makes it again for a second runtime if the first is gone.
    pub(crate) fn spawn<F>(&self, mut task: impl FnMut() -> Option<F>) -> Result<(), NoRuntime>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(configured) = self.configured() {
            let Some(task) = task() else { return Ok(()) };
            if spawn_on(configured, task) {
                return Ok(());
            }
            // Relaxed: as above.
            self.gone.store(true, Ordering::Relaxed);
        }
        let current = Handle::try_current().map_err(|_| NoRuntime)?;
        let Some(task) = task() else { return Ok(()) };
        if spawn_on(&current, task) {
            Ok(())
        } else {
            Err(NoRuntime)
        }
    }
}

/// Spawns a task. `false`: the runtime was shut down and dropped it unseen.
fn spawn_on<F>(runtime: &Handle, task: F) -> bool
where
    F: Future<Output = ()> + Send + 'static,
{
    let seen = Arc::new(AtomicBool::new(false));
    let mark = Arc::clone(&seen);
    let spawned = runtime.spawn(async move {
        // Relaxed: read below only after the task ended, which synchronizes.
        mark.store(true, Ordering::Relaxed);
        task.await;
    });
    // Relaxed: as above.
    !spawned.is_finished() || seen.load(Ordering::Relaxed)
}
