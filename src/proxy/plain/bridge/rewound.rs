//! A connection of which some bytes were read already: they come first.
//!
//! Promise: a client that is told of the end is listened to until it ends, too: a socket that is closed with bytes
//! unread, or that gets more of them, resets the connection, and with it goes what the client did not take yet. For how
//! long is for the clock of its connection. One that ends for want of requests has nothing to lose.
//! Cost: a look at the clock for each write to a client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::pulse::Pulse;
use crate::proxy::plain::wire::Inbox;
use crate::sync::Arc;

/// The connection.
pub struct Rewound {
    pub inbox: Inbox,
    stream: TcpStream,
    /// Of a client's.
    pulse: Option<Arc<Pulse>>,
    is_shut: bool,
}

impl Rewound {
    /// A client's connection, and what was read of it.
    pub fn new(stream: TcpStream, inbox: Inbox, pulse: Arc<Pulse>) -> Self {
        Self {
            inbox,
            stream,
            pulse: Some(pulse),
            is_shut: false,
        }
    }

    /// An upstream's.
    pub fn fresh(stream: TcpStream) -> Self {
        Self {
            inbox: Inbox::default(),
            stream,
            pulse: None,
            is_shut: false,
        }
    }

    /// Reads more, after what was read; zero is the end of the stream.
    pub fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.inbox.poll_read(context, &mut self.stream)
    }

    /// Says that nothing more comes.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.is_shut = true;
            if let Some(pulse) = &self.pulse {
                pulse.shut();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads and throws away until the client ends, too.
    fn poll_drain(&mut self, context: &mut Context<'_>, pulse: &Pulse) -> Poll<io::Result<()>> {
        loop {
            self.inbox.consume(self.inbox.bytes().len());
            match ready!(self.poll_fill(context)) {
                Ok(1..) => pulse.moved(),
                Ok(0) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match (&self.pulse, &written) {
            (Some(pulse), Poll::Ready(Ok(1..))) => pulse.wrote(true),
            (Some(pulse), Poll::Pending) => pulse.wrote(false),
            _ => {}
        }
        written
    }
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.inbox.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, to);
        }
        let count = self.inbox.bytes().len().min(to.remaining());
        to.put_slice(&self.inbox.bytes()[..count]);
        self.inbox.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_end(context))?;
        match self.pulse.clone() {
            Some(pulse) if !pulse.is_spare() => self.poll_drain(context, &pulse),
            _ => Poll::Ready(Ok(())),
        }
    }
}
