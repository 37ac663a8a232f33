//! A worker: a thread, its runtime, and the connections on it.
//!
//! Promise: a connection stays on one thread, and the connections to upstreams that serve it too, so no
//! exchange wakes another thread; a worker with more clients than another gives new ones away.
//! Cost: a listener each; a new connection looks at the counts of all workers.

use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::client;
use super::connection::Pools;
use super::counts::Counts;
use super::options::GatewayOptions;
use super::table::Table;
use crate::sync::{Arc, ArcSwap, AtomicBool, AtomicU64, CachePadded, Ordering};

/// How long to wait after the system refused a connection.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

/// Where a worker is to be found.
#[derive(Clone, Debug)]
pub struct Home {
    /// Its runtime.
    pub runtime: Handle,
    /// Takes connections of clients.
    pub gifts: mpsc::UnboundedSender<Gift>,
}

/// A client that another worker took.
#[derive(Debug)]
pub struct Gift {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
}

/// What all workers see.
#[derive(Debug)]
pub struct Shared {
    /// What the gateway was started with; its routes may have changed.
    pub options: GatewayOptions,
    /// The connections to all upstreams.
    pub pools: Pools,
    table: ArcSwap<Numbered>,
    number: AtomicU64,
    beat_millis: AtomicU64,
    /// Each worker's counters.
    pub counts: Vec<Arc<CachePadded<Counts>>>,
    closing: AtomicBool,
    closed: watch::Sender<bool>,
    clients: Arc<Semaphore>,
}

/// The routes, and how many there were before.
#[derive(Debug)]
pub struct Numbered {
    number: u64,
    /// The routes.
    pub routes: Table,
}

/// One worker, as its connections see it.
#[derive(Debug)]
pub struct Worker {
    /// Which one it is.
    pub index: usize,
    /// What all see.
    pub shared: Arc<Shared>,
    /// Its counters.
    pub counts: Arc<CachePadded<Counts>>,
    homes: Vec<Home>,
}

/// Where new clients of a worker come from.
pub struct Door {
    /// From outside.
    pub listener: std::net::TcpListener,
    /// From other workers.
    pub gifts: mpsc::UnboundedReceiver<Gift>,
}

impl Shared {
    /// The state of some workers.
    pub fn new(options: GatewayOptions, pools: Pools, routes: Table, workers: usize) -> Self {
        let beat = beat(&options, &routes);
        Self {
            clients: Arc::new(Semaphore::new(
                options.max_clients.min(Semaphore::MAX_PERMITS),
            )),
            options,
            pools,
            table: ArcSwap::from_pointee(Numbered { number: 0, routes }),
            number: AtomicU64::new(0),
            beat_millis: AtomicU64::new(beat),
            counts: (0..workers).map(|_| Arc::default()).collect(),
            closing: AtomicBool::new(false),
            closed: watch::Sender::new(false),
        }
    }

    /// The routes now.
    pub fn table(&self) -> Arc<Numbered> {
        self.table.load_full()
    }

    /// Makes them those of now. Cost: one load of a line that nobody writes.
    pub fn refresh(&self, table: &mut Arc<Numbered>) {
        // Acquire: pairs with the Release in `replace`; the table of this number is seen.
        if self.number.load(Ordering::Acquire) != table.number {
            *table = self.table();
        }
    }

    /// Puts other routes in their place; returns those of before.
    pub fn replace(&self, routes: Table) -> Arc<Numbered> {
        // Relaxed: for connections that begin after this.
        self.beat_millis
            .fetch_min(beat(&self.options, &routes), Ordering::Relaxed);
        let number = self.table.load().number + 1;
        let before = self.table.swap(Arc::new(Numbered { number, routes }));
        // Release: pairs with the Acquire in `refresh`.
        self.number.store(number, Ordering::Release);
        before
    }

    /// How often a connection's timer rings at least.
    pub fn beat(&self) -> Duration {
        // Relaxed: a hint.
        Duration::from_millis(self.beat_millis.load(Ordering::Relaxed))
    }

    /// Tells all workers to end.
    pub fn close(&self) {
        // Release: pairs with the Acquire in `is_closing`.
        self.closing.store(true, Ordering::Release);
        self.closed.send_replace(true);
    }
}

/// The shortest of all limits.
fn beat(options: &GatewayOptions, routes: &Table) -> u64 {
    let own = [
        options.client_idle,
        options.client_head,
        options.tunnel_idle,
    ];
    let upstreams = routes.upstreams();
    let theirs = upstreams.iter().flat_map(|upstream| {
        let times = &upstream.options.timeouts;
        [times.request, times.idle, times.response, times.overall]
    });
    let shortest = own.into_iter().chain(theirs).min().unwrap_or(LONGEST_BEAT);
    shortest.min(LONGEST_BEAT).as_millis().max(1) as u64
}

const LONGEST_BEAT: Duration = Duration::from_secs(5);

impl Worker {
    /// Worker `index` of these.
    pub fn new(index: usize, shared: Arc<Shared>, homes: Vec<Home>) -> Arc<Self> {
        let counts = shared.counts[index].clone();
        Arc::new(Self {
            index,
            shared,
            counts,
            homes,
        })
    }

    /// Whether the gateway ends.
    pub fn is_closing(&self) -> bool {
        // Acquire: pairs with the Release in `close`.
        self.shared.closing.load(Ordering::Acquire)
    }

    /// Ends when the gateway does.
    pub async fn closed(&self) {
        let mut closed = self.shared.closed.subscribe();
        // The sender lives in `shared`.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// Takes connections until the gateway ends, then waits for those that are left.
    pub async fn run(self: Arc<Self>, door: Door) {
        let Door {
            listener,
            mut gifts,
        } = door;
        let _ = listener.set_nonblocking(true);
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "a worker cannot listen");
                return;
            }
        };
        {
            let mut closed = pin!(self.closed());
            let mut accepting = pin!(self.accept(&listener));
            loop {
                tokio::select! {
                    biased;
                    () = &mut closed => break,
                    Some(gift) = gifts.recv() => self.adopt(gift),
                    () = &mut accepting => {}
                }
            }
        }
        drop(listener);
        self.drained().await;
    }

    async fn drained(&self) {
        // Relaxed: asked again until it is so.
        while self.counts.clients.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            // The semaphore is never closed.
            let Ok(permit) = self.shared.clients.clone().acquire_owned().await else {
                return pending().await;
            };
            match listener.accept().await {
                Ok((stream, peer)) => self.place(stream, peer, permit),
                Err(error) => {
                    // Out of descriptors, or a client that left early: neither ends the proxy.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(REFUSED_PAUSE).await;
                }
            }
        }
    }

    /// Gives a new client to the worker with the fewest.
    fn place(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        // Relaxed: an estimate.
        let clients = |at: &usize| self.shared.counts[*at].clients.load(Ordering::Relaxed);
        let fewest = (0..self.homes.len())
            .min_by_key(clients)
            .unwrap_or(self.index);
        Counts::add(&self.counts.accepted);
        if clients(&fewest) + 1 >= clients(&self.index) {
            Counts::add(&self.counts.clients);
            return self.spawn(stream, peer, permit);
        }
        let Ok(stream) = stream.into_std() else {
            return;
        };
        let to = &self.shared.counts[fewest].clients;
        Counts::add(to);
        if self.homes[fewest]
            .gifts
            .send(Gift {
                stream,
                peer,
                permit,
            })
            .is_err()
        {
            Counts::remove(to);
        }
    }

    fn adopt(self: &Arc<Self>, gift: Gift) {
        match TcpStream::from_std(gift.stream) {
            Ok(stream) => self.spawn(stream, gift.peer, gift.permit),
            Err(error) => {
                Counts::remove(&self.counts.clients);
                tracing::warn!(%error, "a connection was not taken over");
            }
        }
    }

    /// Serves a client that is counted already.
    fn spawn(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        let present = Present {
            worker: self.clone(),
            _permit: permit,
        };
        let worker = self.clone();
        tokio::spawn(async move {
            let _present = present;
            client::serve(stream, peer, worker).await;
        });
    }
}

/// A client that is there.
struct Present {
    worker: Arc<Worker>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Present {
    fn drop(&mut self) {
        Counts::remove(&self.worker.counts.clients);
    }
}
