//! Children that nobody has spoken to yet, for sessions to come.
//!
//! Promise: a child is given to one session and never comes back; the pool starts the next ones in the
//! background, so that a session does not wait for a process to start.

use crate::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::OwnedChild;
use super::newborn::Newborns;
use super::pace::{MAX_STARTING, Pace};
use crate::proxy::live::Live;
use crate::proxy::options::ServeOptions;
use crate::proxy::peer::{LastStart, Peer, PeerSource, Strays, none_free};
use crate::proxy::wire::Fault;
use crate::resilience::Deadline;
use crate::{
    BoxError, CloseReport, OptionsError, Pool, PoolConnection, PoolStats, PoolableResource,
};

/// The pool of children without a session.
pub struct Nursery {
    pub(super) pool: Pool<Peer>,
    last_start: Arc<LastStart>,
    newborns: Arc<Newborns>,
    pub(super) pace: Arc<Pace>,
    options: Live,
    strays: Arc<Strays>,
}

impl Nursery {
    /// An empty pool of children of this source.
    ///
    /// # Errors
    ///
    /// That of the pool's options.
    pub fn new(source: &PeerSource, live: &Live, strays: &Arc<Strays>) -> Result<Self, BoxError> {
        let options = live.get();
        let (pace, last_start) = <(Arc<Pace>, Arc<LastStart>)>::default();
        let newborns = Newborns::new(&last_start, live, strays);
        let factory = {
            let (source, pace, newborns) = (source.clone(), pace.clone(), newborns.clone());
            move || {
                let (source, pace, newborns) = (source.clone(), pace.clone(), newborns.clone());
                async move {
                    if source.starts_processes() {
                        pace.turn().await;
                    }
                    newborns.start(&source, &pace).await
                }
            }
        };
        let pool = options
            .pool()
            .max_connecting(MAX_STARTING)
            .max_connections(options.children())
            .max_connections_ceiling(options.ceiling())
            .min_idle(options.min_idle)
            .connect_timeout(options.connect_timeout)
            .acquire_timeout(options.acquire_timeout)
            .connect_with(factory)?;
        Ok(Self {
            pool,
            last_start,
            newborns,
            pace,
            options: live.clone(),
            strays: strays.clone(),
        })
    }

    /// Takes a child for a new session, waiting no longer than to the whole of this deadline.
    ///
    /// # Errors
    ///
    /// `NoChild` if none could be started in time, `Busy` if each has a session.
    pub async fn take(&self, deadline: Deadline) -> Result<OwnedChild, Fault> {
        let lease = self.acquire(deadline).await?;
        let options = self.options.get();
        let (limits, probe) = (options.timeouts(), options.probe);
        Ok(OwnedChild::new(lease, limits, probe, &self.strays))
    }

    async fn acquire(&self, deadline: Deadline) -> Result<PoolConnection<Peer>, Fault> {
        if let Ok(ready) = self.pool.try_acquire() {
            return Ok(ready); // no other needs to hurry
        }
        let _waiting = self.pace.wait();
        let acquired = self.pool.acquire_timeout(self.patience(deadline)).await;
        acquired.map_err(none_free)
    }

    /// Who needs a new child waits as long as its start may take; nobody beyond the end of the call.
    fn patience(&self, deadline: Deadline) -> Duration {
        let stats = self.pool.stats();
        let options = self.options.get();
        let patience = if stats.open - stats.connecting < options.children() {
            options.acquire_timeout.max(options.connect_timeout)
        } else {
            options.acquire_timeout
        };
        patience.min(deadline.left(Instant::now()))
    }

    /// Starts the first children; proves that the command can be run.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub async fn warm(&self) -> Result<(), Fault> {
        let warmed = if self.options.get().min_idle == 0 {
            let endless = Deadline::endless(Instant::now());
            self.acquire(endless).await.map(drop)
        } else {
            // An acquire would open a child beside those that the pool opens by itself.
            let ready = self.pool.wait_ready().await;
            ready.map_err(none_free)
        };
        self.pace.set_warm();
        warmed
    }

    /// Whether a new session would get a child, as far as is known.
    ///
    /// # Errors
    ///
    /// The reason why not.
    pub fn ready(&self) -> Result<(), String> {
        let stats = self.pool.stats();
        if stats.idle == 0 && stats.open >= self.options.get().children() {
            return Err(format!(
                "{} sessions are open, as many as there may be children",
                stats.open
            ));
        }
        self.can_start()
    }

    /// Whether a child that is needed could be started, as far as is known.
    ///
    /// # Errors
    ///
    /// The reason why not.
    pub fn can_start(&self) -> Result<(), String> {
        let stats = self.pool.stats();
        match self.last_start.why().or(stats.last_connect_error) {
            Some(error) if stats.idle == 0 && self.last_start.fails(&self.options.get()) => {
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Lets go of children that died before anybody used them: the pool starts others.
    pub fn sweep(&self) {
        if self.newborns.is_look_due() {
            self.pool.retain(|child, _| child.is_healthy());
        }
    }

    /// Changes limits and times.
    ///
    /// # Errors
    ///
    /// A limit above the ceiling.
    pub fn tune(&self, options: &ServeOptions) -> Result<(), OptionsError> {
        self.pool.tune(|tuning| {
            tuning.max_connections = options.children();
            tuning.min_idle = options.min_idle;
            tuning.max_lifetime = options.max_lifetime;
            tuning.connect_timeout = options.connect_timeout;
            tuning.acquire_timeout = options.acquire_timeout;
        })?;
        self.options.set(options.clone());
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
