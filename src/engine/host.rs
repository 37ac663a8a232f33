//! What the engine asks of the floor above: time, health, dials. The one seam to user code.

use super::body::Body;
use super::dial::Ticket;
use super::lease::Lease;
use crate::sync::Arc;
use crate::time::Tick;

/// The pool, as the engine sees it.
pub(crate) trait Host<T>: Send + Sync + Sized + 'static {
    /// Why a waiter gets no connection; a copy goes to each waiter concerned.
    type Failure: Clone + Send + 'static;

    /// Reads the clock. Never called on a hit; called under the line's lock, and must not panic.
    fn now(&self) -> Tick;

    /// Whether a connection may go back as it is: healthy, and no hook wants to see it.
    /// Called at every release, unless [`keeps_all`](Self::keeps_all) says that there is nothing to ask.
    fn keeps(&self, value: &T) -> bool;

    /// Whether it [keeps](Self::keeps) every connection without a look at it.
    fn keeps_all(&self) -> bool;

    /// Whether [`held`](Self::held) says anything: then a lease that ends in another tick than it
    /// began is [`returned`](Self::returned), so that the release of one that does not pays nothing.
    const TELLS_HOLDS: bool = false;

    /// A lease ends in another tick than it began. Called in drops, and must not panic.
    fn held(&self, since: Tick, now: Tick) {
        let _ = (since, now);
    }

    /// A connection comes back and something is to be done: the gate is not quiet, the connection
    /// is doomed, the clock sleeps, a hook waits, or the thread unwinds.
    fn returned(lease: Lease<T, Self>);

    /// A connection that nobody has is to be retired: for another pool, or because this one is closed.
    /// Called without a lock.
    fn evicted(lease: Lease<T, Self>);

    /// Opens a connection for whoever waits, in a task of its own. Called without a lock.
    ///
    /// # Errors
    ///
    /// Nowhere to run it: the waiter that asked gets the failure.
    fn dial(ticket: Ticket<T, Self>) -> Result<(), Self::Failure>;

    /// The last user handle is gone: close. Called without a lock.
    fn abandoned(body: &Arc<Body<T, Self>>);

    /// Closed, and the last permit came back. Called without a lock.
    fn drained(&self);
}

/// Who is served first when connections are short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Fairness {
    /// In the order of arrival, nobody overtakes: a returned connection is handed to the first.
    #[default]
    Fifo,
    /// Newcomers may overtake until the first in line has waited this long.
    Eventual(
        #[cfg_attr(feature = "serde", serde(with = "crate::time::spelled"))] std::time::Duration,
    ),
    /// Newcomers may always overtake: the highest throughput, and no bound on a wait but its
    /// time-out.
    Barging,
}
