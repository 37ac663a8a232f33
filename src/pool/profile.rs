//! Profiles: settings that go together, by the name of what a pool is for.

use std::time::Duration;

use super::options::PoolOptions;
use crate::engine::{Fairness, IdleOrder};

/// A set of defaults; each can still be changed. [`PoolOptions::profile`] begins with one.
///
/// What is not listed is as in [`PoolOptions::new`], whose values are the first column.
///
/// | option | default | low latency | throughput | subprocess | constrained |
/// |---|---|---|---|---|---|
/// | `max_connections` | 10 | 32 | 64 | 8 | 4 |
/// | `min_idle` | 0 | 2 | 0 | 1 | 0 |
/// | `max_connecting` | 4 | 8 | 8 | 2 | 1 |
/// | `max_waiters` | no bound | 1024 | no bound | 256 | 64 |
/// | `acquire_timeout` | 2 s | 500 ms | 5 s | 30 s | 5 s |
/// | `connect_timeout` | 5 s | 2 s | 5 s | 30 s | 5 s |
/// | `connect_backoff` | 50 ms, 5 s | 20 ms, 1 s | 50 ms, 5 s | 200 ms, 10 s | 200 ms, 10 s |
/// | `check_after_idle` | 1 s | 10 s | 10 s | never | 1 s |
/// | `close_timeout` | 5 s | 5 s | 5 s | 10 s | 5 s |
/// | `idle_timeout` | never | 10 min | 10 min | 5 min | 30 s |
/// | `max_lifetime` | never | 30 min | 30 min | never | 10 min |
/// | `slow_acquire` | off | 100 ms | 1 s | 5 s | off |
/// | `fairness` | `Fifo` | `Fifo` | `Eventual(20 ms)` | `Fifo` | `Fifo` |
/// | `idle_order` | `Affine` | `Affine` | `Affine` | `Lifo` | `Lifo` |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Profile {
    /// A proxy in front of its callers: connections are ready before they are asked for, and a
    /// caller that cannot be served soon hears so soon.
    LowLatency,
    /// Many callers over few connections, the sum of whose work counts: newcomers may overtake for a
    /// moment, which spares the wake-up of whoever is first.
    Throughput,
    /// Connections are child processes: slow to start, heavy to keep, and their health is known
    /// without a question. Few start at a time, and spare ones end.
    Subprocess,
    /// A peer with few places, or little memory here: one dial at a time, spare connections go soon.
    Constrained,
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

impl<T> PoolOptions<T> {
    /// The settings of a profile, to be changed where they do not fit.
    ///
    /// ```
    /// use plunge::{Plain, PoolOptions, Profile};
    /// let options = PoolOptions::<Plain<u64>>::profile(Profile::LowLatency).max_connections(64);
    /// # drop(options);
    /// ```
    pub fn profile(profile: Profile) -> Self {
        match profile {
            Profile::LowLatency => Self::low_latency(),
            Profile::Throughput => Self::throughput(),
            Profile::Subprocess => Self::subprocess(),
            Profile::Constrained => Self::constrained(),
        }
    }

    fn low_latency() -> Self {
        Self::new()
            .max_connections(32)
            .min_idle(2)
            .max_connecting(8)
            .max_waiters(1024)
            .acquire_timeout(Duration::from_millis(500))
            .connect_timeout(Duration::from_secs(2))
            .connect_backoff(Duration::from_millis(20), Duration::from_secs(1))
            .check_after_idle(Duration::from_secs(10))
            .idle_timeout(minutes(10))
            .max_lifetime(minutes(30))
            .slow_acquire(Duration::from_millis(100))
    }

    fn throughput() -> Self {
        Self::new()
            .max_connections(64)
            .max_connecting(8)
            .acquire_timeout(Duration::from_secs(5))
            .check_after_idle(Duration::from_secs(10))
            .idle_timeout(minutes(10))
            .max_lifetime(minutes(30))
            .slow_acquire(Duration::from_secs(1))
            .fairness(Fairness::Eventual(Duration::from_millis(20)))
    }

    fn subprocess() -> Self {
        Self::new()
            .max_connections(8)
            .min_idle(1)
            .max_connecting(2)
            .max_waiters(256)
            .acquire_timeout(Duration::from_secs(30))
            .connect_timeout(Duration::from_secs(30))
            .connect_backoff(Duration::from_millis(200), Duration::from_secs(10))
            .check_after_idle(Duration::MAX)
            .close_timeout(Duration::from_secs(10))
            .idle_timeout(minutes(5))
            .slow_acquire(Duration::from_secs(5))
            .idle_order(IdleOrder::Lifo)
    }

    fn constrained() -> Self {
        Self::new()
            .max_connections(4)
            .max_connecting(1)
            .max_waiters(64)
            .acquire_timeout(Duration::from_secs(5))
            .connect_backoff(Duration::from_millis(200), Duration::from_secs(10))
            .idle_timeout(Duration::from_secs(30))
            .max_lifetime(minutes(10))
            .idle_order(IdleOrder::Lifo)
    }
}
