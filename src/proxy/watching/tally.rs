//! One request as it is counted, from its head to the end of its reply or its connection.
//!
//! Promise: every request that began ends once, whatever becomes of it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::Line;
use crate::proxy::http::{Reply, ReplyBody};
use crate::proxy::state::AppState;
use crate::sync::Arc;

/// A request that is being served.
pub struct Tally {
    state: Option<Arc<AppState>>,
    begun: Instant,
    bytes: u64,
    line: Option<Box<Line>>,
}

/// A body that is counted as it goes out.
pub struct Metered {
    body: ReplyBody,
    tally: Tally,
}

impl Tally {
    /// Begins one; without an upstream, if no route fits. The line is written at the end.
    pub fn new(state: Option<Arc<AppState>>, line: Option<Box<Line>>) -> Self {
        if let Some(state) = &state {
            state.meters.begin();
        }
        let begun = Instant::now();
        Self {
            state,
            begun,
            bytes: 0,
            line,
        }
    }

    /// Notes the head of its reply, and goes with its body.
    pub fn replied(mut self, reply: Reply) -> Response<Metered> {
        let status = reply.status().as_u16();
        let time = self.begun.elapsed();
        if let Some(state) = &self.state {
            state.meters.reply(status, time);
        }
        if let Some(line) = &mut self.line {
            line.reply(status, time);
        }
        reply.map(|body| Metered { body, tally: self })
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if let Some(state) = &self.state {
            state.meters.end(self.bytes);
        }
        if let Some(line) = self.line.take() {
            line.write(self.bytes, self.begun.elapsed());
        }
    }
}

impl Body for Metered {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            this.tally.bytes += frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
