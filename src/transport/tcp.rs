//! TCP connections in a pool: their health is one load.
//!
//! Promise: a stream that ended, was reset, or holds bytes that nobody asked for is not healthy, as
//! soon as the runtime has heard of it. Cost: one load while tokio knows of nothing to read. Where
//! it thinks that there may be something, because the last read filled its buffer to the brim, one
//! system call finds that there is not, and then it knows.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::{BoxError, IdleBytes, PoolableResource};

/// Tells whether a stream that nobody uses is of use, from what its runtime has heard: for
/// [`is_healthy`](PoolableResource::is_healthy) of types that have a [`TcpStream`] inside.
///
/// # Cost
///
/// One load, and no system call, for a stream that was read until there was nothing more. The first
/// look after a read that filled its buffer costs one system call if bytes are
/// [`Deadly`](IdleBytes::Deadly).
pub fn is_alive(stream: &TcpStream, idle_bytes: IdleBytes) -> bool {
    is_alive_by(stream, idle_bytes, || peek(stream))
}

fn is_alive_by(
    stream: &TcpStream,
    idle_bytes: IdleBytes,
    peek: impl FnOnce() -> io::Result<usize>,
) -> bool {
    // The load; what follows runs only if there may be something to read. `WouldBlock` from inside
    // has tokio know that there is nothing.
    let looked = stream.try_io(Interest::READABLE, || {
        if has_ended(stream) {
            return Ok(());
        }
        match idle_bytes {
            IdleBytes::Harmless => Err(io::ErrorKind::Other.into()),
            // Bytes, the end, or an error that is none of these.
            IdleBytes::Deadly => peek().map(drop),
        }
    });
    match looked {
        Ok(()) => false,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
        Err(_) => idle_bytes == IdleBytes::Harmless,
    }
}

/// Whether the runtime has heard of the end. Asked where it has heard something, so it does not wait.
fn has_ended(stream: &TcpStream) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(stream.ready(Interest::READABLE)).poll(&mut context) {
        Poll::Ready(Ok(ready)) => ready.is_read_closed(),
        // The runtime is gone, and the stream is of no use without it.
        Poll::Ready(Err(_)) => true,
        Poll::Pending => false,
    }
}

fn peek(stream: &TcpStream) -> io::Result<usize> {
    let mut byte = [0];
    let (seen, _) = recv(stream, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    Ok(seen)
}

/// Bytes that nobody asked for are the end of the stream: see [`is_alive`] for others.
impl PoolableResource for TcpStream {
    const HAS_ASYNC_CLOSE: bool = false;

    fn is_healthy(&self) -> bool {
        is_alive(self, IdleBytes::Deadly)
    }

    async fn check(&mut self) -> Result<(), BoxError> {
        // What a load does not tell: the runtime that the stream was opened on is gone.
        match self.poll_read_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(gone)) => Err(gone.into()),
            Poll::Ready(Ok(())) if !is_alive(self, IdleBytes::Deadly) => {
                Err("the stream ended, or holds bytes that nobody asked for".into())
            }
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }
}

#[cfg(feature = "watch")]
impl crate::watch::WatchTarget for TcpStream {
    fn socket(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        Some(std::os::fd::AsFd::as_fd(self))
    }
}

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;
