//! Time as the pool counts it: milliseconds since the pool was built.

#[cfg(not(plunge_loom))]
mod clock;
#[cfg(feature = "serde")]
pub(crate) mod spelled;
mod tick;
#[cfg(feature = "proxy")]
mod wall;

#[cfg(not(plunge_loom))]
pub(crate) use clock::{Clock, uptime_millis};
pub(crate) use tick::{LAG, Tick, TickWord};
#[cfg(feature = "proxy")]
pub(crate) use wall::unix_now;
