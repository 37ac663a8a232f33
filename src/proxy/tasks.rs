//! The tasks of a server: none outlives it.
//!
//! Promise: dropping the last handle, or [`Tasks::abort`], ends every task that was spawned through it.

use crate::sync::Arc;
use std::future::Future;

use crate::sync::Mutex;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// A set of tasks; clones name the same set.
#[derive(Clone)]
pub struct Tasks(Arc<Set>);

struct Set {
    running: Mutex<Option<JoinSet<()>>>,
    /// Tasks that somebody waits for at a shutdown.
    served: watch::Sender<usize>,
}

/// Counts as a task that is waited for, until dropped.
pub struct Served(Arc<Set>);

impl Default for Tasks {
    fn default() -> Self {
        let running = Mutex::new(Some(JoinSet::new()));
        Self(Arc::new(Set {
            running,
            served: watch::Sender::new(0),
        }))
    }
}

impl Tasks {
    /// Spawns a task, unless the set was aborted.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let _ = self.spawn_abortable(task);
    }

    /// The same, with the way to end it.
    pub fn spawn_abortable(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Option<AbortHandle> {
        let mut running = self.0.running.lock();
        let set = running.as_mut()?;
        let handle = set.spawn(task);
        // Lets the memory of ended tasks go.
        while set.try_join_next().is_some() {}
        Some(handle)
    }

    /// Counts a piece of work that a shutdown waits for.
    pub fn serve(&self) -> Served {
        self.0.served.send_modify(|count| *count += 1);
        Served(self.0.clone())
    }

    /// How much work a shutdown would wait for.
    pub fn serving(&self) -> usize {
        *self.0.served.borrow()
    }

    /// Waits until nothing is served any more.
    pub async fn idle(&self) {
        let mut served = self.0.served.subscribe();
        // The sender lives in `self`, so this ends with a zero only.
        let _ = served.wait_for(|count| *count == 0).await;
    }

    /// Ends every task, and waits until each is gone.
    pub async fn end(&self) {
        let set = self.0.running.lock().take();
        if let Some(mut set) = set {
            set.shutdown().await;
        }
    }

    /// Ends every task at its next await.
    pub fn abort(&self) {
        let set = self.0.running.lock().take();
        drop(set);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.served.send_modify(|count| *count -= 1);
    }
}
