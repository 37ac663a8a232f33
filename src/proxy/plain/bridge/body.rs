//! The body of an answer on its way, with what it holds.
//!
//! Promise: the connection to the upstream is free again with the last frame, and closed if that does not
//! come; a body that stands still for too long ends.
//! Cost: a timer, set anew with each frame.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::channel::Channel;
use crate::proxy::plain::lanes::{Flight, Upstream};
use crate::sync::Arc;
use crate::{BoxError, PoolConnection};

/// What a client gets.
pub enum Answer {
    /// The proxy's own words.
    Own(Full<Bytes>),
    /// The upstream's.
    Passed(Box<Passed>),
}

/// An upstream's body.
pub struct Passed {
    pub body: Incoming,
    pub hold: Hold,
    /// Dropped with the body.
    pub _flight: Flight<Arc<Upstream>>,
    idle: Duration,
    timer: Pin<Box<Sleep>>,
}

/// The connection that a body comes over.
pub enum Hold {
    /// For it alone.
    Own(PoolConnection<Channel>),
    /// For it and others; it goes back to the pool with the last of them.
    Shared {
        _lease: Arc<PoolConnection<Channel>>,
    },
}

impl Passed {
    /// A body that may stand still for `idle`.
    pub fn new(body: Incoming, hold: Hold, flight: Flight<Arc<Upstream>>, idle: Duration) -> Self {
        Self {
            body,
            hold,
            _flight: flight,
            idle,
            timer: Box::pin(sleep(idle)),
        }
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        if let Hold::Own(lease) = &mut self.hold
            && self.body.is_end_stream()
        {
            lease.rest();
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let passed = match self.get_mut() {
            Self::Own(own) => return Pin::new(own).poll_frame(context).map_err(Into::into),
            Self::Passed(passed) => passed,
        };
        match Pin::new(&mut passed.body).poll_frame(context) {
            Poll::Ready(frame) => {
                passed.timer.as_mut().reset(Instant::now() + passed.idle);
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => match passed.timer.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err("the upstream fell silent".into()))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(own) => own.is_end_stream(),
            Self::Passed(passed) => passed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(own) => own.size_hint(),
            Self::Passed(passed) => passed.body.size_hint(),
        }
    }
}
