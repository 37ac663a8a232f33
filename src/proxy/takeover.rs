//! Listening on an address that another process takes over.
//!
//! Promise: with `reuse_port` on both sides no connection is reset: the kernel hands connections to either process by
//! their addresses, and closing a listener resets those it has not accepted. So the one that leaves first has its
//! kernel drop requests for new connections, which their clients repeat after a second, at the other one then; it
//! takes what is in its queue or on its way there, and closes.
//! Cost: nothing while serving; at the end a tenth of a second.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use socket2::{Domain, SockFilter, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 4096;
/// How long connections that were begun may take to arrive.
const ARRIVAL: Duration = Duration::from_millis(100);
/// How long to wait after the system refused one of them.
const LAST_PAUSE: Duration = Duration::from_millis(5);
/// How long to wait after it refused a connection while it is listened.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

/// Lets everything pass but the first packet of a connection. The packet begins with its TCP header, whose byte 13
/// holds the flags (RFC 9293, 3.1).
const NO_NEW: [SockFilter; 5] = [
    SockFilter::new(LOAD_BYTE, 0, 0, 13),
    SockFilter::new(AND, 0, 0, SYN | ACK),
    SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
    SockFilter::new(RETURN, 0, 0, 0),
    SockFilter::new(RETURN, 0, 0, u32::MAX),
];
const SYN: u32 = 0x02;
const ACK: u32 = 0x10;
/// `BPF_LD | BPF_B | BPF_ABS`
const LOAD_BYTE: u16 = 0x30;
/// `BPF_ALU | BPF_AND | BPF_K`
const AND: u16 = 0x54;
/// `BPF_JMP | BPF_JEQ | BPF_K`
const JUMP_IF_EQUAL: u16 = 0x15;
/// `BPF_RET | BPF_K`
const RETURN: u16 = 0x06;

/// Listens; with `reuse_port` beside others that do.
///
/// # Errors
///
/// Those of the system.
pub fn listen(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(reuse_port)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// So many listeners on one address, among which the kernel shares connections out.
///
/// # Errors
///
/// Those of the system; without `reuse_port` also if another process listens there.
pub fn listen_each(
    address: SocketAddr,
    count: usize,
    reuse_port: bool,
) -> io::Result<Vec<std::net::TcpListener>> {
    let domain = Domain::for_address(address);
    let socket = || Socket::new(domain, Type::STREAM.nonblocking().cloexec(), None);
    if !reuse_port {
        // The kernel would share the address with whoever allows it: asked without, it says who is there.
        let alone = socket()?;
        alone.set_reuse_address(true)?;
        alone.bind(&address.into())?;
    }
    let mut listeners: Vec<std::net::TcpListener> = Vec::with_capacity(count);
    for _ in 0..count {
        let at = match listeners.first() {
            Some(first) => first.local_addr()?,
            None => address,
        };
        let listener = socket()?;
        listener.set_reuse_address(true)?;
        listener.set_reuse_port(true)?;
        listener.bind(&at.into())?;
        listener.listen(BACKLOG as i32)?;
        listeners.push(listener.into());
    }
    Ok(listeners)
}

/// The next connection; where there is none because the system refuses it, that is waited out.
///
/// # Cancel safety
///
/// Dropped, no connection is lost.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                // Out of descriptors, or a client that left early: neither ends the proxy.
                tracing::warn!(%error, "a connection was not accepted");
                sleep(REFUSED_PAUSE).await;
            }
        }
    }
}

/// Stops listening without a reset: whoever was taken by the kernel is given to `serve`.
pub async fn leave(listener: TcpListener, reuse_port: bool, mut serve: impl FnMut(TcpStream)) {
    if reuse_port {
        refuse_new(SockRef::from(&listener));
    }
    let begun = Instant::now();
    let until = match reuse_port {
        true => begun + ARRIVAL,
        // Nobody else would answer: what waits in the queue is all there is to be saved.
        false => begun,
    };
    while let Ok(accepted) = timeout_at(until, listener.accept()).await {
        match accepted {
            Ok((stream, _)) => serve(stream),
            // A client that left, or no descriptor is free: those behind it are still served.
            Err(_) if begun.elapsed() < ARRIVAL => sleep(LAST_PAUSE).await,
            Err(error) => {
                return tracing::warn!(%error, "connections that were begun may be reset");
            }
        }
    }
}

/// The same for a listener that somebody else accepts from.
pub struct Leaving(io::Result<OwnedFd>);

impl Leaving {
    /// One that is to be left.
    pub fn of(listener: &TcpListener) -> Self {
        Self(listener.as_fd().try_clone_to_owned())
    }

    /// Ends when it may be closed.
    pub async fn ready(self) {
        match &self.0 {
            Ok(listener) => refuse_new(SockRef::from(listener)),
            Err(error) => tracing::warn!(%error, "connections that come now may be reset"),
        }
        sleep(ARRIVAL).await;
    }
}

fn refuse_new(listener: SockRef<'_>) {
    if let Err(error) = listener.attach_filter(&NO_NEW) {
        tracing::warn!(%error, "connections that come now may be reset");
    }
}
