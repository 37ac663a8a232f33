//! A worker: a thread, its runtime, and the connections on it.
//!
//! Promise: a connection stays on one thread, and the connections to upstreams that serve it too, so no
//! exchange wakes another thread; a worker with more clients than another gives new ones away. At the end,
//! whoever the kernel took for it is served.
//! Cost: a listener each; a new connection looks at the counts of all workers.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::client;
use super::counts::Counts;
use super::seats::Seat;
use super::shared::Shared;
use crate::proxy::takeover;
use crate::sync::{Arc, CachePadded, Ordering};

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
    seat: Option<Seat>,
}

/// One worker, as its connections see it.
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

    /// Whether each answer is the last of its connection.
    pub fn is_draining(&self) -> bool {
        self.shared.is_draining()
    }

    /// Takes connections until the gateway ends, then waits for those that are left.
    pub async fn run(self: Arc<Self>, door: Door) {
        let Door {
            listener,
            mut gifts,
        } = door;
        let _ = listener.set_nonblocking(true);
        match TcpListener::from_std(listener) {
            Ok(listener) => {
                let mut accepting = pin!(self.accept(listener));
                loop {
                    tokio::select! {
                        biased;
                        () = &mut accepting => break,
                        Some(gift) = gifts.recv() => self.adopt(gift),
                    }
                }
            }
            Err(error) => tracing::error!(%error, "a worker cannot listen"),
        }
        // Who gives one after this is told, and serves it himself.
        gifts.close();
        while let Some(gift) = gifts.recv().await {
            self.adopt(gift);
        }
        self.drained().await;
    }

    async fn drained(&self) {
        // Relaxed: asked again until it is so.
        while self.counts.clients.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Takes connections until the gateway leaves its address, and those that wait by then.
    async fn accept(self: &Arc<Self>, listener: TcpListener) {
        let mut draining = pin!(self.shared.until_draining());
        loop {
            let (stream, peer) = tokio::select! {
                accepted = takeover::accept(&listener) => accepted,
                () = &mut draining => break,
            };
            // Asked for only now: a worker to whom nobody comes holds no seat.
            let seat = match self.shared.seats.now() {
                None => {
                    Counts::count(&self.counts.waited);
                    tokio::select! {
                        biased;
                        seat = self.shared.seats.soon() => seat,
                        // Who comes at the very end needs none.
                        () = &mut draining => None,
                    }
                }
                seat => seat,
            };
            let is_over = seat.is_none();
            self.place(stream, peer, seat);
            if is_over {
                break;
            }
        }
        let is_shared = self.shared.options.share_address;
        takeover::leave(listener, is_shared, |stream| {
            if let Ok(peer) = stream.peer_addr() {
                self.keep(stream, peer, None);
            }
        })
        .await;
    }

    /// Gives a new client to the worker with the fewest.
    fn place(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, seat: Option<Seat>) {
        // Relaxed: an estimate.
        let clients = |at: &usize| self.shared.counts[*at].clients.load(Ordering::Relaxed);
        let fewest = (0..self.homes.len())
            .min_by_key(clients)
            .unwrap_or(self.index);
        if self.is_draining() || clients(&fewest) + 1 >= clients(&self.index) {
            return self.keep(stream, peer, seat);
        }
        let Ok(stream) = stream.into_std() else {
            return;
        };
        let to = &self.shared.counts[fewest].clients;
        Counts::add(to);
        let gift = Gift { stream, peer, seat };
        match self.homes[fewest].gifts.send(gift) {
            Ok(()) => Counts::count(&self.counts.accepted),
            Err(back) => {
                Counts::remove(to);
                Counts::add(&self.counts.clients);
                Counts::count(&self.counts.accepted);
                self.adopt(back.0);
            }
        }
    }

    fn keep(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, seat: Option<Seat>) {
        Counts::count(&self.counts.accepted);
        Counts::add(&self.counts.clients);
        self.spawn(stream, peer, seat);
    }

    /// Serves a client that is counted already.
    fn adopt(self: &Arc<Self>, gift: Gift) {
        match TcpStream::from_std(gift.stream) {
            Ok(stream) => self.spawn(stream, gift.peer, gift.seat),
            Err(error) => {
                Counts::remove(&self.counts.clients);
                tracing::warn!(%error, "a connection was not taken over");
            }
        }
    }

    fn spawn(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, seat: Option<Seat>) {
        let present = Present {
            worker: self.clone(),
            _seat: seat,
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
    _seat: Option<Seat>,
}

impl Drop for Present {
    fn drop(&mut self) {
        Counts::remove(&self.worker.counts.clients);
    }
}
