//! The body of an answer on its way, with what it holds.
//!
//! Promise: the connection to the upstream is free again with the last frame, and closed if that does not
//! come; a body that stands still for too long ends.
//! What a client does not take for too long is for the clock of its connection.
//! Cost: a timer, set anew with each frame.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::channel::Channel;
use super::pulse::{Busy, Standing};
use super::upload::without_forbidden;
use crate::proxy::plain::access::Entry;
use crate::proxy::plain::lanes::{Flight, Upstream};
use crate::sync::Arc;
use crate::{BoxError, PoolConnection};

/// What a client gets, and what ends with it.
pub struct Answer {
    words: Words,
    /// Counts bytes, and is written at the end.
    entry: Option<Entry>,
    _busy: Busy,
}

/// Its body.
pub enum Words {
    /// The proxy's own.
    Own(Full<Bytes>),
    /// The upstream's.
    Passed(Box<Passed>),
}

/// An upstream's body.
pub struct Passed {
    body: Incoming,
    hold: Hold,
    flight: Flight<Arc<Upstream>>,
    standing: Arc<Standing>,
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

impl Answer {
    /// These words to a request, with its line in the log.
    pub fn new(words: Words, entry: Option<Entry>, busy: Busy) -> Self {
        Self {
            words,
            entry,
            _busy: busy,
        }
    }
}

impl Passed {
    /// A body that may stand still for as long as its upstream may be silent. The client has twice that time to take
    /// each of its parts.
    pub fn new(body: Incoming, hold: Hold, flight: Flight<Arc<Upstream>>, busy: &Busy) -> Self {
        let idle = flight.options().timeouts.idle;
        Self {
            body,
            hold,
            flight,
            standing: busy.answer(idle.saturating_mul(2)),
            idle,
            timer: Box::pin(sleep(idle)),
        }
    }

    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.standing.asked();
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                self.timer.as_mut().reset(Instant::now() + self.idle);
                if let Some(Ok(frame)) = &frame {
                    let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                    self.flight.meter().sent(length);
                }
                Poll::Ready(frame.map(|frame| frame.map(without_forbidden).map_err(Into::into)))
            }
            Poll::Pending => match self.timer.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err("the upstream fell silent".into()))),
                Poll::Pending => Poll::Pending,
            },
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
        let this = self.get_mut();
        let polled = match &mut this.words {
            Words::Own(own) => Pin::new(own).poll_frame(context).map_err(Into::into),
            Words::Passed(passed) => passed.poll_frame(context),
        };
        if let (Some(entry), Poll::Ready(Some(Ok(frame)))) = (&mut this.entry, &polled) {
            entry.sent(frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.words {
            Words::Own(own) => own.is_end_stream(),
            Words::Passed(passed) => passed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.words {
            Words::Own(own) => own.size_hint(),
            Words::Passed(passed) => passed.body.size_hint(),
        }
    }
}
