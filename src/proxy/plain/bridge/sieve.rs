//! A client's connection in HTTP/1.1 that hyper reads, behind the strict grammar of this proxy.
//!
//! Promise: what reaches hyper has one reading: each head passed the same checks as where hyper has no part, and each
//! body is as long as that head says. A head that did not pass is replaced by one that ends the connection, in its
//! turn: answers to requests before it are not cut off.
//! Cost: each head is read once more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::rewound::Rewound;
use crate::proxy::plain::chunks::Chunks;
use crate::proxy::plain::head::{Framing, Front, parse_request};
use crate::proxy::plain::refusal::Refusal;
use crate::proxy::plain::shared::Shared;
use crate::proxy::plain::wire::Outbox;
use crate::sync::{Arc, AtomicU32, Mutex, Ordering};

/// What stands for a head that did not pass.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// The connection.
pub struct Sieve {
    from: Rewound,
    peer: String,
    shared: Arc<Shared>,
    verdict: Arc<Verdict>,
    state: State,
}

/// What was refused, for whoever answers.
#[derive(Default)]
pub struct Verdict {
    /// Heads that went through, the one that stands for the refused one included.
    heads: AtomicU32,
    answered: AtomicU32,
    refusal: Mutex<Option<Refusal>>,
}

/// | state   | passes on                   | leaves for                                |
/// |---------|-----------------------------|-------------------------------------------|
/// | Head    | nothing before it is whole  | Passing, or StandIn if it is refused      |
/// | Passing | the bytes of the head       | Length or Chunked                         |
/// | Length  | so many bytes               | Head                                      |
/// | Chunked | up to the end of the last   | Head                                      |
/// | StandIn | another head                | Over                                      |
/// | Over    | nothing: the rest is read and thrown away | nothing                     |
enum State {
    Head,
    Passing { left: usize, then: Framing },
    Length(u64),
    Chunked(Box<Chunks>),
    StandIn(&'static [u8]),
    Over,
}

impl Verdict {
    /// What the next request, one after the other, is refused for.
    pub fn next(&self) -> Option<Refusal> {
        // Relaxed, both: written and read by tasks of one thread.
        let number = self.answered.fetch_add(1, Ordering::Relaxed) + 1;
        let refusal = *self.refusal.lock();
        refusal.filter(|_| number == self.heads.load(Ordering::Relaxed))
    }
}

impl Sieve {
    /// A connection from which some bytes were read.
    pub fn new(from: Rewound, peer: String, shared: Arc<Shared>, verdict: Arc<Verdict>) -> Self {
        Self {
            from,
            peer,
            shared,
            verdict,
            state: State::Head,
        }
    }

    /// Reads the next head; `None`: there is more to come.
    fn judge(&mut self) -> Option<State> {
        let rules = self.shared.rules();
        let front = Front {
            peer: &self.peer,
            limits: &rules.limits,
            table: &rules.routes,
        };
        let judged = parse_request(self.from.inbox.bytes(), &front, &mut Outbox::take());
        let state = match judged {
            Ok(None) => return None,
            Ok(Some(request)) => State::Passing {
                left: request.head_bytes,
                then: request.framing,
            },
            Err(refusal) => {
                *self.verdict.refusal.lock() = Some(refusal);
                State::StandIn(STAND_IN)
            }
        };
        // Relaxed: as above.
        self.verdict.heads.fetch_add(1, Ordering::Relaxed);
        Some(state)
    }

    /// Moves bytes on, as far as the state allows; `false`: more has to be read first.
    fn pass(&mut self, to: &mut ReadBuf<'_>) -> io::Result<bool> {
        let inbox = &mut self.from.inbox;
        let most = inbox.bytes().len().min(to.remaining());
        let count = match &mut self.state {
            State::Head | State::Over => return Ok(false),
            State::StandIn(left) => {
                let (now, later) = left.split_at(left.len().min(to.remaining()));
                to.put_slice(now);
                self.state = match later {
                    [] => State::Over,
                    later => State::StandIn(later),
                };
                return Ok(true);
            }
            State::Passing { left, .. } => most.min(*left),
            State::Length(left) => most.min(usize::try_from(*left).unwrap_or(usize::MAX)),
            State::Chunked(chunks) => {
                let found = chunks.next(&inbox.bytes()[..most]);
                found.map_err(|_| io::ErrorKind::InvalidData)?.consumed
            }
        };
        to.put_slice(&inbox.bytes()[..count]);
        inbox.consume(count);
        self.advance(count);
        Ok(count > 0)
    }

    fn advance(&mut self, count: usize) {
        let next = match &mut self.state {
            State::Passing { left, then } => {
                *left -= count;
                (*left == 0).then(|| match *then {
                    Framing::Length(length @ 1..) => State::Length(length),
                    Framing::Chunked => State::Chunked(Box::new(Chunks::new())),
                    _ => State::Head,
                })
            }
            State::Length(left) => {
                *left -= count as u64;
                (*left == 0).then_some(State::Head)
            }
            State::Chunked(chunks) => chunks.is_done().then_some(State::Head),
            _ => None,
        };
        if let Some(next) = next {
            self.state = next;
        }
    }
}

impl AsyncRead for Sieve {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if matches!(this.state, State::Head)
                && !this.from.inbox.is_empty()
                && let Some(state) = this.judge()
            {
                this.state = state;
            }
            if this.pass(to)? {
                return Poll::Ready(Ok(()));
            }
            if matches!(this.state, State::Over) {
                let heard = this.from.inbox.bytes().len();
                this.from.inbox.consume(heard);
            }
            if ready!(this.from.poll_fill(context))? == 0 {
                return match this.state {
                    // Its answer is still to come.
                    State::Over => Poll::Pending,
                    _ => Poll::Ready(Ok(())),
                };
            }
        }
    }
}

impl AsyncWrite for Sieve {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.from).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.from).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.from.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.from).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.from).poll_shutdown(context)
    }
}
