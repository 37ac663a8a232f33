//! The watch on idle connections: one thread that hears them die.
//!
//! ```
//! # #[cfg(all(feature = "watch", unix))] fn build() -> Result<(), plunge::OptionsError> {
//! use plunge::watch::IdleWatch;
//! use plunge::{Pool, PoolOptions};
//! use tokio::net::TcpStream;
//!
//! let pool: Pool<TcpStream> = PoolOptions::new()
//!     .watch(IdleWatch::new())
//!     .connect_with(|| TcpStream::connect("127.0.0.1:7"))?;
//! # Ok(()) }
//! ```

#[cfg(not(plunge_loom))]
mod idle_watch;
#[cfg(not(plunge_loom))]
mod poller;
mod roster;
#[cfg(not(plunge_loom))]
mod stats;
#[cfg(not(plunge_loom))]
mod target;
#[cfg(not(plunge_loom))]
mod watched;

#[cfg(test)]
mod tests;

#[cfg(not(plunge_loom))]
pub use idle_watch::IdleWatch;
#[cfg(not(plunge_loom))]
pub use stats::{WatchStats, stats};
#[cfg(not(plunge_loom))]
pub use target::WatchTarget;
#[cfg(not(plunge_loom))]
pub use watched::Watched;
