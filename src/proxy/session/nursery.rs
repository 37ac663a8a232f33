//! Children that nobody has spoken to yet, for sessions to come.
//!
//! Promise: a child is given to one session and never comes back; the next ones are started in the
//! background, so that a session does not wait for a process to start.

use crate::sync::Arc;
use crate::sync::{AtomicBool, Ordering};
use std::time::Duration;

use super::OwnedChild;
use crate::proxy::options::ServeOptions;
use crate::proxy::tasks::Tasks;
use crate::proxy::wire::{Code, Fault};
use crate::transport::{Command, Subprocess};
use crate::{BoxError, CloseReport, Pool, PoolConnection, PoolOptions, PoolStats};

/// The pool of children without a session.
pub struct Nursery {
    pool: Pool<Subprocess>,
    refilling: Arc<AtomicBool>,
    tasks: Tasks,
    options: Arc<ServeOptions>,
}

impl Nursery {
    /// An empty pool of children of this command.
    ///
    /// # Errors
    ///
    /// That of the pool's options.
    pub fn new(
        command: &Command,
        options: &Arc<ServeOptions>,
        tasks: &Tasks,
    ) -> Result<Self, BoxError> {
        let command = command.clone();
        let pool = PoolOptions::new()
            .max_connections(options.children())
            .connect_timeout(options.connect_timeout)
            .acquire_timeout(options.acquire_timeout)
            .connect_with(move || Subprocess::spawn(&command))?;
        Ok(Self {
            pool,
            refilling: Arc::default(),
            tasks: tasks.clone(),
            options: options.clone(),
        })
    }

    /// Takes a child for a new session.
    ///
    /// # Errors
    ///
    /// [`Code::NoChild`] if none could be started in time.
    pub async fn take(&self) -> Result<OwnedChild, Fault> {
        let lease = self.acquire().await?;
        self.refill();
        Ok(OwnedChild::new(
            lease,
            self.options.timeouts(),
            self.options.probe,
        ))
    }

    async fn acquire(&self) -> Result<PoolConnection<Subprocess>, Fault> {
        self.pool
            .acquire()
            .await
            .map_err(|error| Fault::new(Code::NoChild, error.to_string()))
    }

    /// Starts the first children; proves that the command can be run.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub async fn warm(&self) -> Result<(), Fault> {
        drop(self.acquire().await?);
        self.refill();
        Ok(())
    }

    /// Starts children in the background until enough wait, as far as the limit allows.
    pub fn refill(&self) {
        let (wanted, stats) = (self.options.min_idle, self.pool.stats());
        if stats.idle >= wanted || stats.capacity_free == 0 {
            return;
        }
        // AcqRel: pairs with the Release below; one refill at a time.
        if self.refilling.swap(true, Ordering::AcqRel) {
            return;
        }
        let (pool, refilling) = (self.pool.clone(), self.refilling.clone());
        self.tasks.spawn(async move {
            let mut held = Vec::new();
            while held.len() < wanted as usize {
                match pool.acquire().await {
                    Ok(lease) => held.push(lease),
                    // At the limit, closed, or the command fails: the next session sees which.
                    Err(_) => break,
                }
            }
            drop(held);
            // Release: see above.
            refilling.store(false, Ordering::Release);
        });
    }

    /// Whether a new session would get a child, as far as is known.
    ///
    /// # Errors
    ///
    /// The reason why not.
    pub fn ready(&self) -> Result<(), String> {
        let stats = self.pool.stats();
        if stats.idle == 0 && stats.open >= self.options.children() {
            return Err(format!(
                "{} sessions are open, as many as there may be children",
                stats.open
            ));
        }
        Ok(())
    }

    /// The pool's figures.
    pub fn pool_stats(&self) -> PoolStats {
        self.pool.stats()
    }

    /// Closes the pool; sessions have to be ended before.
    pub async fn close(&self, deadline: Duration) -> CloseReport {
        self.pool.close(deadline).await
    }
}
