//! Tuning: the settings that may change while the pool runs.
//!
//! Promise: a change is checked as a whole, applies as a whole, and strands nobody.
//! Cost: read on slow paths only, as one shared value; what a hit needs of it is kept in words of
//! its own.

use std::fmt;
use std::time::Duration;

use super::error::OptionsError;
use super::handle::Pool;
use super::hooks::PoolHooks;
use super::maintenance;
use crate::engine::Fairness;
use crate::sync::Arc;

/// The settings of a pool that may change at run time; see [`Pool::tune`].
///
/// With the feature `serde` read and written as [`PoolOptions`](super::PoolOptions) are. Hooks are code, and
/// left out: one that was read has none.
#[non_exhaustive]
pub struct PoolTuning<T> {
    /// How many connections may be open at once. Lowered, connections are retired as they come
    /// back; it cannot be raised above the ceiling that the pool was built with.
    pub max_connections: u32,
    /// How many connections are kept idle.
    pub min_idle: u32,
    /// How many connections are opened at the same time.
    pub max_connecting: u32,
    /// How many callers may wait in line.
    pub max_waiters: u32,
    /// How long an acquire may take in all.
    pub acquire_timeout: Duration,
    /// How long opening one connection may take.
    pub connect_timeout: Duration,
    /// After how long idle a connection is checked before it is handed out.
    pub check_after_idle: Duration,
    /// How long an async `after_release` may take.
    pub hook_timeout: Duration,
    /// How long closing one connection may take.
    pub close_timeout: Duration,
    /// After how long idle a connection beyond `min_idle` is retired.
    pub idle_timeout: Option<Duration>,
    /// At what age a connection is retired; up to a tenth earlier, so that connections opened
    /// together do not go together.
    pub max_lifetime: Option<Duration>,
    /// After how long a lease is taken for leaked, and reported.
    pub leak_after: Option<Duration>,
    /// After how long an acquire is slow: counted, and with the feature `tracing` warned of.
    pub slow_acquire: Option<Duration>,
    /// Who is served first.
    pub fairness: Fairness,
    /// Code to run at certain points of a connection's life.
    pub hooks: Arc<PoolHooks<T>>,
}

impl<T> PoolTuning<T> {
    pub(crate) fn new() -> Self {
        Self {
            max_connections: 10,
            min_idle: 0,
            max_connecting: 4,
            max_waiters: u32::MAX,
            acquire_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(5),
            check_after_idle: Duration::from_secs(1),
            hook_timeout: Duration::from_secs(5),
            close_timeout: Duration::from_secs(5),
            idle_timeout: None,
            max_lifetime: None,
            leak_after: None,
            slow_acquire: None,
            fairness: Fairness::Fifo,
            hooks: Arc::new(PoolHooks::new()),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), OptionsError> {
        let refuse = |field, problem: String| Err(OptionsError::new(field, problem));
        if self.max_connections == 0 {
            let problem = "is 0, so nothing could ever be acquired; set at least 1";
            return refuse("max_connections", problem.into());
        }
        if self.min_idle > self.max_connections {
            let problem = format!(
                "is {}, above max_connections = {}",
                self.min_idle, self.max_connections
            );
            return refuse("min_idle", problem);
        }
        if self.max_connecting == 0 {
            let problem = "is 0, so nothing could ever be opened; set at least 1";
            return refuse("max_connecting", problem.into());
        }
        if self.max_waiters == 0 {
            let problem =
                "is 0, so nobody could wait for a connection to be opened; set at least 1";
            return refuse("max_waiters", problem.into());
        }
        if self.fairness == Fairness::Eventual(Duration::ZERO) {
            return refuse(
                "fairness",
                "is Eventual(0); use Fifo for strict order".into(),
            );
        }
        let times = [
            ("acquire_timeout", Some(self.acquire_timeout)),
            ("connect_timeout", Some(self.connect_timeout)),
            ("hook_timeout", Some(self.hook_timeout)),
            ("close_timeout", Some(self.close_timeout)),
            ("idle_timeout", self.idle_timeout),
            ("max_lifetime", self.max_lifetime),
            ("leak_after", self.leak_after),
            ("slow_acquire", self.slow_acquire),
        ];
        match times
            .iter()
            .find(|(_, time)| time.is_some_and(|time| time.is_zero()))
        {
            Some((field, _)) => refuse(field, "is zero; set a positive duration".into()),
            None => Ok(()),
        }
    }
}

impl<T> Clone for PoolTuning<T> {
    fn clone(&self) -> Self {
        Self {
            hooks: Arc::clone(&self.hooks),
            ..*self
        }
    }
}

impl<T> fmt::Debug for PoolTuning<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolTuning")
            .field("max_connections", &self.max_connections)
            .field("min_idle", &self.min_idle)
            .field("max_connecting", &self.max_connecting)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("max_lifetime", &self.max_lifetime)
            .field("fairness", &self.fairness)
            .field("hooks", &self.hooks)
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Pool<T> {
    /// The settings in force.
    pub fn tuning(&self) -> PoolTuning<T> {
        PoolTuning::clone(&self.body().host().tuning.load())
    }

    /// Changes settings while the pool runs. `change` is called again if another change came
    /// between.
    ///
    /// Acquires that are under way keep the time-outs they began with. A lowered
    /// `max_connections` retires connections as they come back; a raised one serves waiters at
    /// once.
    ///
    /// # Errors
    ///
    /// Settings that contradict each other, or a limit above the ceiling; or the pool is the parent's
    /// of this process. Nothing is changed then.
    pub fn tune(&self, mut change: impl FnMut(&mut PoolTuning<T>)) -> Result<(), OptionsError> {
        let body = self.body();
        let shared = body.host();
        if body.is_forked() {
            return Err(OptionsError::forked());
        }
        loop {
            let before = shared.tuning();
            let mut after = PoolTuning::clone(&before);
            change(&mut after);
            after.validate()?;
            if after.max_connections > body.ceiling() {
                let (limit, ceiling) = (after.max_connections, body.ceiling());
                let problem = format!("is {limit}, above max_connections_ceiling = {ceiling}");
                return Err(OptionsError::new("max_connections", problem));
            }
            let found = shared.tuning.compare_and_swap(&before, Arc::new(after));
            if Arc::ptr_eq(&found, &before) {
                break;
            }
        }
        shared.apply_tuning(body);
        let now = shared.clock.now();
        let _ = maintenance::ensure(body, now);
        shared.maintenance.request(now);
        Ok(())
    }

    /// Retires every connection that is open now: idle ones at once, held ones as they come back.
    /// New ones take their place as they are needed. Does nothing in a forked child.
    pub fn evict_all(&self) {
        let body = self.body();
        if body.is_forked() {
            return;
        }
        body.evict_all();
        let now = body.host().clock.now();
        let _ = maintenance::ensure(body, now);
        body.host().maintenance.request(now);
    }

    /// Hands nothing out until [`resume`](Self::resume); callers wait, within their time-outs.
    /// What comes back is kept. Does nothing in a forked child.
    pub fn suspend(&self) {
        if !self.body().is_forked() {
            self.body().suspend();
        }
    }

    /// Ends a suspension and serves whoever waits. Does nothing in a forked child.
    pub fn resume(&self) {
        if !self.body().is_forked() {
            self.body().resume();
        }
    }
}
