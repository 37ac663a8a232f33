//! Dials of plain HTTP, and why one failed.
//!
//! Promise: an upstream is not blamed for what this machine lacks, nor this machine for an upstream that is away: of
//! several addresses of a name the one that is tells.
//! Cost: a timer a dial; where no local address is left for one, a socket more to see why.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::sync::Arc;
use crate::transport::http::HttpTarget;

/// There is no connection to an address.
#[derive(Debug)]
pub struct DialError {
    target: Arc<HttpTarget>,
    source: io::Error,
}

/// Opens a connection within a time.
///
/// # Errors
///
/// [`DialError`].
pub async fn dial(target: &Arc<HttpTarget>, limit: Duration) -> Result<TcpStream, DialError> {
    let failed = |source| DialError::new(target.clone(), source);
    let Ok(dialled) = timeout(limit, connect(target)).await else {
        return Err(DialError::late(target, limit));
    };
    let stream = dialled.map_err(failed)?;
    // Requests are written whole: waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Tries each address of a name in turn.
async fn connect(target: &HttpTarget) -> io::Result<TcpStream> {
    let mut failed = None;
    for address in lookup_host((target.host(), target.port())).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = Some(telling(failed, explained(error, address))),
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::other("the name has no address")))
}

/// Which of two errors says more: the first that is not this machine's own.
fn telling(former: Option<io::Error>, error: io::Error) -> io::Error {
    former.filter(|former| !is_own(former)).unwrap_or(error)
}

/// That no local address is left for a connection may be because there never was one, as where IPv6 is off: then it
/// says nothing of ports.
fn explained(error: io::Error, address: SocketAddr) -> io::Error {
    if error.kind() != io::ErrorKind::AddrNotAvailable || has_way(address) {
        return error;
    }
    let reason = "this machine has no address from which it can be reached";
    io::Error::new(io::ErrorKind::AddrNotAvailable, reason)
}

/// Whether this machine has an address for connections to that one. Sends nothing.
fn has_way(address: SocketAddr) -> bool {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    match UdpSocket::bind(any).and_then(|socket| socket.connect(address)) {
        Ok(()) => true,
        // For want of a descriptor that cannot be seen.
        Err(error) => is_own(&error) && error.kind() != io::ErrorKind::AddrNotAvailable,
    }
}

/// Whether it is this machine that lacks something: descriptors, ports or memory.
fn is_own(error: &io::Error) -> bool {
    const LACKS: [rustix::io::Errno; 5] = [
        rustix::io::Errno::MFILE,
        rustix::io::Errno::NFILE,
        // No port is left, of those that a socket without an address of its own may have.
        rustix::io::Errno::ADDRNOTAVAIL,
        rustix::io::Errno::NOBUFS,
        rustix::io::Errno::NOMEM,
    ];
    let code = error.raw_os_error();
    code.is_some_and(|code| LACKS.iter().any(|lack| lack.raw_os_error() == code))
}

impl DialError {
    fn new(target: Arc<HttpTarget>, source: io::Error) -> Self {
        Self { target, source }
    }

    /// Nothing was heard for so long.
    pub fn late(target: &Arc<HttpTarget>, limit: Duration) -> Self {
        let reason = format!("no answer in {limit:?}");
        let source = io::Error::new(io::ErrorKind::TimedOut, reason);
        Self::new(target.clone(), source)
    }

    /// Whether it is this machine that lacks something: descriptors, ports or memory.
    pub fn is_own(&self) -> bool {
        is_own(&self.source)
    }

    /// Whether nothing was heard in time.
    pub fn is_late(&self) -> bool {
        self.source.kind() == io::ErrorKind::TimedOut
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.target, self.source)
    }
}

impl Error for DialError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
#[path = "dial_tests.rs"]
mod tests;
