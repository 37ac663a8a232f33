//! Dials of plain HTTP, and why one failed.
//!
//! Promise: an upstream is not blamed for what this machine lacks.
//! Cost: a timer a dial.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
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
    let dialling = TcpStream::connect((target.host(), target.port()));
    let Ok(dialled) = timeout(limit, dialling).await else {
        return Err(DialError::late(target, limit));
    };
    let stream = dialled.map_err(failed)?;
    // Requests are written whole: waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    Ok(stream)
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
        const LACKS: [rustix::io::Errno; 6] = [
            rustix::io::Errno::MFILE,
            rustix::io::Errno::NFILE,
            rustix::io::Errno::ADDRNOTAVAIL,
            // No port is left, of those that a socket without an address of its own may have.
            rustix::io::Errno::AGAIN,
            rustix::io::Errno::NOBUFS,
            rustix::io::Errno::NOMEM,
        ];
        let code = self.source.raw_os_error();
        code.is_some_and(|code| LACKS.iter().any(|lack| lack.raw_os_error() == code))
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
