//! A connection to an upstream as a pooled value.
//!
//! Promise: it is unhealthy from the first byte of a request to the last of its answer, and from the moment
//! its end, or a byte that nobody asked for, was heard.
//! Cost: a look is two loads.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::bridge::Channel;
use super::dial::dial;
use super::leasing::Aged;
use crate::sync::Arc;
use crate::transport::http::HttpTarget;
use crate::transport::tcp::is_alive;
use crate::{BoxError, IdleBytes, KeyedOptions, KeyedPool, OptionsError, PoolableResource};

/// Connections to one address that a worker opens at a time: more callers than these wait for one of them.
const MOST_DIALS: u32 = 16;
/// The pauses after dials that failed. Short: who leaves an address alone is its breaker, not its pool.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// So much later than a dial its pool gives up, and so much later again whoever waits: each hears how it ended.
const TO_HEAR: Duration = Duration::from_millis(100);

/// Where connections of one kind lead, and the worker whose thread they live on.
#[derive(Clone, Debug)]
pub struct Site {
    /// Tells it from all others of the process.
    pub id: u64,
    /// Where it is.
    pub target: Arc<HttpTarget>,
    /// Whether h2 is spoken there.
    pub h2: bool,
    /// The runtime of its worker.
    pub runtime: Handle,
    /// The most connections.
    pub max_connections: u32,
    /// The limits of its pool.
    pub times: SiteTimes,
}

/// All connections to upstreams.
#[derive(Clone, Debug)]
pub struct Pools {
    /// Those with HTTP/1.1 on both sides.
    pub connections: KeyedPool<Site, Connection>,
    /// Those that hyper speaks on.
    pub channels: KeyedPool<Site, Channel>,
}

impl Pools {
    /// Pools without connections, with this limit each.
    ///
    /// # Errors
    ///
    /// That of the limit.
    pub fn new(max_connections: u32) -> Result<Self, OptionsError> {
        Ok(Self {
            connections: keyed(max_connections)
                .connect_with(|site: &Site| Connection::dial(site.clone()))?,
            channels: keyed(max_connections)
                .connect_with(|site: &Site| Channel::dial(site.clone()))?,
        })
    }

    /// Holds both to another limit.
    ///
    /// # Errors
    ///
    /// That of the limit.
    pub fn set_max_connections(&self, count: u32) -> Result<(), OptionsError> {
        self.connections.set_max_connections(count)?;
        self.channels.set_max_connections(count)
    }
}

/// Each connection is opened and kept on the runtime of the worker that uses it.
fn keyed<T: Send + 'static>(max_connections: u32) -> KeyedOptions<Site, T> {
    KeyedOptions::new()
        .max_connections(max_connections)
        .override_key(|site: &Site, options| {
            options
                .runtime(site.runtime.clone())
                .max_connections(site.max_connections)
                .max_connecting(MOST_DIALS)
                .connect_backoff(PAUSES.0, PAUSES.1)
                .connect_timeout(site.times.connect + TO_HEAR)
                .acquire_timeout(site.times.patience())
                .idle_timeout(site.times.idle)
        })
}

/// The limits of a site's pool.
#[derive(Clone, Copy, Debug)]
pub struct SiteTimes {
    pub connect: Duration,
    pub acquire: Duration,
    pub idle: Duration,
    /// How long an upstream may say nothing.
    pub silence: Duration,
}

impl SiteTimes {
    /// How long a request waits for a connection at most.
    pub fn patience(&self) -> Duration {
        self.acquire.max(self.connect + 2 * TO_HEAR)
    }
}

impl PartialEq for Site {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Site {}

impl Hash for Site {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// A connection, from its dial on.
#[derive(Debug)]
pub struct Connection {
    /// Its socket.
    pub stream: TcpStream,
    busy: bool,
    used: bool,
}

impl Connection {
    /// Dials.
    ///
    /// # Errors
    ///
    /// [`DialError`](super::dial::DialError).
    pub async fn dial(site: Site) -> Result<Self, BoxError> {
        let stream = dial(&site.target, site.times.connect).await?;
        Ok(Self {
            stream,
            busy: false,
            used: false,
        })
    }

    /// A request begins.
    pub fn begin(&mut self) {
        self.busy = true;
    }

    /// Its answer was read to the end.
    pub fn rest(&mut self) {
        (self.busy, self.used) = (false, true);
    }
}

impl Aged for Connection {
    fn is_used(&self) -> bool {
        self.used
    }
}

impl PoolableResource for Connection {
    const HAS_ASYNC_CLOSE: bool = false;

    fn is_healthy(&self) -> bool {
        !self.busy && is_alive(&self.stream, IdleBytes::Deadly)
    }
}
