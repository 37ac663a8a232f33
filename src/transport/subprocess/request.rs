//! One request in flight on a child of one's own.
//!
//! Promise: a request that is dropped before its answer takes the child with it, so that the answer
//! never meets the next request.
//! Cost: one allocation for the way back.

use bytes::Bytes;
use tokio::sync::oneshot;

use super::buffer::starts_like_json;
use super::death::Death;
use super::error::RequestError;
use super::link::Link;
use super::queue::LineWriter;
use super::sink::Waiting;

/// A request that was queued and is not answered.
pub(super) struct InFlight<'a> {
    link: &'a Link,
    answer: oneshot::Receiver<Bytes>,
}

impl<'a> InFlight<'a> {
    /// Queues the request. Nothing else writes to the child, so there is room.
    pub(super) async fn send(
        link: &'a Link,
        writer: LineWriter,
        line: &[u8],
    ) -> Result<Self, RequestError> {
        if memchr::memchr(b'\n', line).is_some() {
            return Err(RequestError::LineBreak);
        }
        link.state.begin().map_err(RequestError::Dead)?;
        let (answer, waits) = oneshot::channel();
        let in_flight = Self {
            link,
            answer: waits,
        };
        link.sink.wait(Waiting {
            json: starts_like_json(line),
            answer,
        });
        // If the child takes no more, its last words may still be the answer: a program that never
        // reads has them ready.
        let _ = writer.write(Bytes::copy_from_slice(line)).await;
        if link.single_shot {
            writer.finish();
        }
        Ok(in_flight)
    }

    /// Waits for the answer.
    pub(super) async fn answer(mut self) -> Result<Bytes, RequestError> {
        let answer = (&mut self.answer).await;
        // The reader dropped the other end at the death, which it knows.
        answer.map_err(|_| RequestError::Dead(self.link.state.death().unwrap_or(Death::Unattended)))
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let answered = self.answer.is_terminated() || self.answer.try_recv().is_ok();
        match (answered, self.link.single_shot) {
            (true, false) => self.link.state.finish(),
            (true, true) => self.link.die(Death::Served),
            (false, _) => self.link.die(Death::Interrupted),
        }
    }
}
