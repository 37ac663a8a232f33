//! A running gateway.
//!
//! Promise: when [`Gateway::shutdown`] has returned, no thread, connection or descriptor of it is left; a
//! plain drop cuts all of it off and waits for the threads, which takes no longer than a poll.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::connection::Pools;
use super::cores;
use super::counts::GatewayStats;
use super::lanes::Upstream;
use super::options::{GatewayOptions, RouteOptions, check_routes, check_targets};
use super::shared::{Rules, Shared};
use super::table::{Route, Table};
use super::worker::{Door, Home, Worker};
use crate::proxy::takeover;
use crate::proxy::watching::AccessWriter;
use crate::sync::{Arc, Mutex};

/// How long an idle connection is given for a last request, which may be on its way.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// A gateway that serves until it is shut down or dropped.
pub struct Gateway {
    shared: Arc<Shared>,
    homes: Vec<Home>,
    threads: Vec<Thread>,
    address: SocketAddr,
    /// Cuts off what is left.
    end: watch::Sender<bool>,
    /// What holds now, but for address and threads. Held while it is replaced.
    in_force: Mutex<GatewayOptions>,
}

/// A worker's thread.
struct Thread {
    handle: Option<JoinHandle<()>>,
    drained: oneshot::Receiver<()>,
}

/// A runtime that may be dropped anywhere, before it ran too.
struct Room(Option<Runtime>);

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GatewayReport {
    /// Connections of clients that were cut off at the deadline.
    pub cut: u64,
}

/// Why a gateway does not start, or does not take other routes.
#[derive(Debug)]
#[non_exhaustive]
pub enum GatewayError {
    /// The options contradict each other.
    Options(String),
    /// The address cannot be listened on.
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no thread or no runtime.
    Worker(io::Error),
}

impl Gateway {
    /// Listens, starts the workers, and serves.
    ///
    /// # Errors
    ///
    /// [`GatewayError`]; nothing is left running then.
    pub fn start(options: GatewayOptions) -> Result<Self, GatewayError> {
        options.check().map_err(GatewayError::Options)?;
        let listeners = listen(&options)?;
        Self::start_on(options, listeners)
    }

    /// Starts a worker for each of these listeners, which may come from another process, and serves.
    ///
    /// # Errors
    ///
    /// [`GatewayError`]; nothing is left running then.
    pub fn start_on(
        options: GatewayOptions,
        listeners: Vec<TcpListener>,
    ) -> Result<Self, GatewayError> {
        Self::start_logged(options, listeners, None)
    }

    /// The same with an access log.
    ///
    /// # Errors
    ///
    /// [`GatewayError`]; nothing is left running then.
    pub(in crate::proxy) fn start_logged(
        options: GatewayOptions,
        listeners: Vec<TcpListener>,
        log: Option<Arc<AccessWriter>>,
    ) -> Result<Self, GatewayError> {
        options.check().map_err(GatewayError::Options)?;
        let listen = options.listen;
        let address = match listeners.first() {
            Some(first) => first.local_addr(),
            None => {
                return Err(GatewayError::Options(
                    "there is no listener: give one a worker".into(),
                ));
            }
        };
        let address = address.map_err(|source| GatewayError::Listen {
            address: listen,
            source,
        })?;
        let (mut homes, mut rooms) = (Vec::new(), Vec::new());
        for listener in listeners {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(GatewayError::Worker)?;
            let (sender, gifts) = mpsc::unbounded_channel();
            homes.push(Home {
                runtime: runtime.handle().clone(),
                gifts: sender,
            });
            rooms.push((Room(Some(runtime)), Door { listener, gifts }));
        }
        let pools = Pools::new(options.max_connections);
        let pools = pools.map_err(|error| GatewayError::Options(error.to_string()))?;
        let routes = routes(&options.routes, &homes, &pools, &[]);
        let own = options.pin_workers.then(|| cores::one_each(homes.len()));
        let own = own.flatten().unwrap_or_default();
        let rules = Rules::new(&options, routes, log);
        let in_force = Mutex::new(options.clone());
        let shared = Arc::new(Shared::new(options, pools, rules, homes.len()));
        let mut gateway = Self {
            shared,
            homes,
            threads: Vec::new(),
            address,
            end: watch::Sender::new(false),
            in_force,
        };
        for (index, (room, door)) in rooms.into_iter().enumerate() {
            // From here on a drop ends what was started.
            let thread = gateway.spawn(index, own.get(index).copied(), room, door)?;
            gateway.threads.push(thread);
        }
        Ok(gateway)
    }

    fn spawn(
        &self,
        index: usize,
        core: Option<usize>,
        room: Room,
        door: Door,
    ) -> Result<Thread, GatewayError> {
        let worker = Worker::new(index, self.shared.clone(), self.homes.clone());
        let mut ended = self.end.subscribe();
        let (drained, receiver) = oneshot::channel();
        let body = move || {
            core.into_iter().for_each(cores::keep_to);
            if let Some(runtime) = &room.0 {
                runtime.block_on(async move {
                    tokio::select! {
                        () = worker.run(door) => {}
                        _ = ended.wait_for(|ended| *ended) => {}
                    }
                });
            }
            // With it go all tasks and connections on this thread.
            drop(room);
            let _ = drained.send(());
        };
        let thread = thread::Builder::new().name(format!("plunge-http-{index}"));
        let handle = thread.spawn(body).map_err(GatewayError::Worker)?;
        Ok(Thread {
            handle: Some(handle),
            drained: receiver,
        })
    }

    /// What it was started with.
    pub(in crate::proxy) fn options(&self) -> &GatewayOptions {
        &self.shared.options
    }

    /// What holds now, but for address and threads.
    pub(in crate::proxy) fn in_force(&self) -> GatewayOptions {
        self.in_force.lock().clone()
    }

    /// Refuses routes that lead here: which port is listened on is only known now.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Options`].
    pub(in crate::proxy) fn check(&self, routes: &[RouteOptions]) -> Result<(), GatewayError> {
        check_targets(routes, self.address).map_err(GatewayError::Options)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts other routes in place of those there are. Requests under way end as they began; an upstream
    /// whose options stay the same keeps its connections and what is known of its addresses.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Options`]; the routes stay as they were.
    pub fn replace(&self, options: &[RouteOptions]) -> Result<(), GatewayError> {
        check_routes(options).map_err(GatewayError::Options)?;
        self.check(options)?;
        let mut in_force = self.in_force.lock();
        self.put(options, Rules::rerouted);
        in_force.routes = options.to_vec();
        Ok(())
    }

    /// Puts other routes, limits and times in place of those there are. Address and threads stay as they are. Requests
    /// under way end as they began.
    ///
    /// Without a route every request is 404.
    ///
    /// # Errors
    ///
    /// [`GatewayError::Options`]; all stays as it was.
    pub(in crate::proxy) fn reload(
        &self,
        options: &GatewayOptions,
        log: Option<Arc<AccessWriter>>,
    ) -> Result<(), GatewayError> {
        options.check_running().map_err(GatewayError::Options)?;
        self.check(&options.routes)?;
        let mut in_force = self.in_force.lock();
        // What can be refused comes first.
        let limited = self
            .shared
            .pools
            .set_max_connections(options.max_connections);
        limited.map_err(|error| GatewayError::Options(error.to_string()))?;
        self.put(&options.routes, |_, table| Rules::new(options, table, log));
        let limited = self.shared.seats.limit(options.max_clients);
        if let Some(home) = self.homes.first() {
            home.runtime.spawn(limited);
        }
        in_force.clone_from(options);
        Ok(())
    }

    /// Puts what `rules` makes of these routes in force.
    fn put(&self, options: &[RouteOptions], rules: impl FnOnce(&Rules, Table) -> Rules) {
        let before = self.shared.rules();
        let known = before.routes.upstreams();
        let table = routes(options, &self.homes, &self.shared.pools, &known);
        let now = table.upstreams();
        self.shared.replace(rules(&before, table));
        for gone in known
            .iter()
            .filter(|known| !now.iter().any(|one| Arc::ptr_eq(one, known)))
        {
            gone.retire(&self.shared.pools);
        }
    }

    /// What it counted.
    pub fn stats(&self) -> GatewayStats {
        self.view().stats()
    }

    /// What can be seen of it, for as long as wanted.
    pub fn view(&self) -> GatewayView {
        GatewayView(self.shared.clone())
    }

    /// Stops accepting, lets requests under way end until the deadline, then cuts off the rest. Each answer ends its
    /// connection from now on; one that is idle is given a second, and at most a quarter of the time, for a last
    /// request.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, the rest is ended as by a drop of the gateway.
    pub async fn shutdown(mut self, deadline: Duration) -> GatewayReport {
        let begun = Instant::now();
        self.shared.drain();
        let mut drained = pin!(async {
            for thread in &mut self.threads {
                let _ = (&mut thread.drained).await;
            }
        });
        let last = LAST_REQUEST.min(deadline / 4);
        if timeout(last, drained.as_mut()).await.is_err() {
            self.shared.close();
            let _ = timeout_at(begun + deadline, drained).await;
        }
        let cut = self.stats().clients;
        drop(self);
        GatewayReport { cut }
    }
}

/// What can be seen of a gateway.
#[derive(Clone)]
pub struct GatewayView(Arc<Shared>);

impl GatewayView {
    /// What it counted.
    pub fn stats(&self) -> GatewayStats {
        let mut sum = GatewayStats::default();
        let counts = self.0.counts.iter();
        counts.for_each(|counts| counts.add_to(&mut sum));
        sum.max_clients = self.0.seats.count() as u64;
        let upstreams = self.0.rules().routes.upstreams();
        sum.upstreams = upstreams.iter().map(|one| one.stats()).collect();
        sum
    }

    /// Where requests go now.
    pub fn routes(&self) -> Vec<RouteOptions> {
        self.0.rules().routes.options()
    }

    /// Its threads.
    pub fn workers(&self) -> usize {
        self.0.counts.len()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shared.close();
        self.end.send_replace(true);
        for thread in &mut self.threads {
            if let Some(handle) = thread.handle.take() {
                // A panic of a worker was reported when it happened.
                let _ = handle.join();
            }
        }
    }
}

fn routes(
    options: &[RouteOptions],
    homes: &[Home],
    pools: &Pools,
    known: &[Arc<Upstream>],
) -> Table {
    let mut made: Vec<Arc<Upstream>> = known.to_vec();
    let mut each = Vec::new();
    for route in options {
        let same = made
            .iter()
            .find(|one| one.options == route.upstream)
            .cloned();
        let upstream = same.unwrap_or_else(|| {
            let new = Arc::new(Upstream::new(route.upstream.clone(), homes, pools));
            made.push(new.clone());
            new
        });
        each.push(Route {
            options: route.clone(),
            upstream,
        });
    }
    Table::new(each)
}

/// A listener for each worker, all on one address.
fn listen(options: &GatewayOptions) -> Result<Vec<TcpListener>, GatewayError> {
    let address = options.listen;
    let refused = |source| GatewayError::Listen { address, source };
    takeover::listen_each(address, options.workers.get(), options.share_address).map_err(refused)
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(reason) => f.write_str(reason),
            Self::Listen { address, source } => write!(
                f,
                "cannot listen on {address}: {source}; name another address with `--http-listen` (port 0 picks a free one)"
            ),
            Self::Worker(error) => write!(f, "a worker cannot be started: {error}"),
        }
    }
}

impl std::error::Error for GatewayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Options(_) => None,
            Self::Listen { source, .. } | Self::Worker(source) => Some(source),
        }
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
