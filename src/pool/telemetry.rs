//! Telemetry: what a pool tells of itself while it runs, to whoever listens.
//!
//! With the feature `tracing`, spans and events of the target `plunge`. With the feature `metrics`,
//! the meters of a pool that has a name. Without them all of this is empty.
//!
//! Promise: nothing here is on the way of a hit, nor of the release of what was held for less than a
//! tick. Cost: off, none; on, a load or two where something slow happens anyway.

use std::time::Duration;

use tokio::time::Instant;

use super::close::CloseReport;
use super::error::SharedError;
use super::ledger::Holder;
#[cfg(feature = "metrics")]
use super::meters::Meters;
use super::stats::PoolStats;
use crate::sync::Arc;
#[cfg(feature = "metrics")]
use crate::sync::OnceLock;
use crate::time::Tick;

pub(crate) struct Telemetry {
    name: Option<Arc<str>>,
    /// Made when the pool is first used, so that a recorder may be installed after it was built.
    #[cfg(feature = "metrics")]
    meters: OnceLock<Meters>,
}

/// When something slow began; nothing where no time is measured.
#[derive(Clone, Copy)]
pub(crate) struct Begun(#[cfg(feature = "metrics")] Instant);

#[cfg_attr(
    not(feature = "metrics"),
    allow(unused_variables, reason = "nobody measures")
)]
impl Begun {
    pub(crate) fn at(now: Instant) -> Self {
        Self(
            #[cfg(feature = "metrics")]
            now,
        )
    }
}

#[cfg_attr(
    not(all(feature = "metrics", feature = "tracing")),
    allow(unused_variables, reason = "nobody listens")
)]
impl Telemetry {
    pub(crate) fn new(name: Option<Arc<str>>) -> Self {
        Self {
            name,
            #[cfg(feature = "metrics")]
            meters: OnceLock::new(),
        }
    }

    /// The name of the pool, if it has one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Connects to the recorder that is installed by now. Called by maintenance.
    pub(crate) fn begin(&self) {
        #[cfg(feature = "metrics")]
        if let Some(name) = &self.name {
            self.meters.get_or_init(|| Meters::new(name));
        }
    }

    /// Whether somebody wants to know how long things take.
    pub(crate) fn is_timed(&self) -> bool {
        #[cfg(feature = "metrics")]
        return self.meters.get().is_some();
        #[cfg(not(feature = "metrics"))]
        false
    }

    /// Tells the recorder how the pool is. Called by maintenance.
    pub(crate) fn publish(&self, stats: impl FnOnce() -> PoolStats) {
        #[cfg(feature = "metrics")]
        if let Some(meters) = self.meters.get() {
            meters.publish(&stats());
        }
    }

    /// An acquire that was no hit has its connection.
    pub(crate) fn waited(&self, begun: Begun) {
        #[cfg(feature = "metrics")]
        if let Some(meters) = self.meters.get() {
            meters.waited(Instant::now().saturating_duration_since(begun.0));
        }
    }

    /// A lease that began in one tick ends in another.
    pub(crate) fn held(&self, since: Tick, now: Tick) {
        #[cfg(feature = "metrics")]
        if let Some(meters) = self.meters.get()
            && now != Tick::NEVER
            && now > since
        {
            meters.held(now.since(since));
        }
    }

    /// A dial came to a good end.
    pub(crate) fn opened(&self, begun: Begun) {
        #[cfg(feature = "metrics")]
        if let Some(meters) = self.meters.get() {
            meters.connected(Instant::now().saturating_duration_since(begun.0));
        }
        #[cfg(feature = "tracing")]
        tracing::debug!(target: "plunge", pool = self.name(), "connection opened");
    }

    /// A dial failed; the next one is made after a pause.
    pub(crate) fn connect_failed(&self, error: &SharedError, pause: Duration) {
        #[cfg(feature = "tracing")]
        if is_of_another_pool(error) {
            tracing::debug!(target: "plunge", pool = self.name(), %error, ?pause, "connection could not be opened");
        } else {
            tracing::warn!(target: "plunge", pool = self.name(), %error, ?pause, "connection could not be opened");
        }
    }

    /// A connection left the pool after so many uses.
    pub(crate) fn retired(&self, uses: u64) {
        #[cfg(feature = "tracing")]
        tracing::debug!(target: "plunge", pool = self.name(), uses, "connection retired");
    }

    /// An acquire took longer than `slow_acquire`.
    pub(crate) fn was_slow(&self, waited: Duration) {
        #[cfg(feature = "tracing")]
        tracing::warn!(target: "plunge", pool = self.name(), ?waited, "slow acquire");
    }

    /// A lease is held for longer than `leak_after`.
    pub(crate) fn leaked(&self, holder: &Holder) {
        #[cfg(feature = "tracing")]
        tracing::warn!(
            target: "plunge",
            pool = self.name(),
            held = ?holder.metadata.held,
            acquired_at = holder.acquired_at.map(tracing::field::display),
            "connection leaked"
        );
    }

    /// A close reached its end, or its deadline.
    pub(crate) fn closed(&self, report: &CloseReport) {
        #[cfg(feature = "tracing")]
        if report.is_clean() {
            tracing::debug!(target: "plunge", pool = self.name(), "pool closed");
        } else {
            let (still_leased, still_closing) = (report.still_leased, report.still_closing);
            tracing::warn!(target: "plunge", pool = self.name(), still_leased, still_closing, "pool closed, not all of it came back");
        }
    }
}

#[cfg(feature = "tracing")]
impl Telemetry {
    /// Around an acquire that is no hit, from its first look to its end.
    pub(crate) fn acquire_span(&self) -> tracing::Span {
        tracing::trace_span!(target: "plunge", "acquire", pool = self.name())
    }

    /// Around the opening of a connection, `after_create` included.
    pub(crate) fn connect_span(&self, failures: u32, generation: u32) -> tracing::Span {
        tracing::debug_span!(target: "plunge", "connect", pool = self.name(), failures, generation)
    }
}

/// Whether a dial failed because another pool had no connection for it: that pool said so already.
#[cfg(feature = "tracing")]
fn is_of_another_pool(error: &SharedError) -> bool {
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        if source.is::<crate::AcquireError>() {
            return true;
        }
        next = source.source();
    }
    false
}
