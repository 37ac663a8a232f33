//! A connection in HTTP/1.1 that hyper reads, behind the strict grammar of this proxy.
//!
//! Promise: what reaches hyper has one reading: each head passed the same checks as where hyper has no part, and each
//! body is as long as that head says.
//! Cost: each head is read once more, and each byte is copied once more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::rewound::Rewound;
use crate::proxy::plain::chunks::Chunks;
use crate::proxy::plain::head::Framing;

/// The connection, and who reads its heads.
pub struct Sieve<J> {
    from: Rewound,
    judge: J,
    state: State,
}

/// Who reads the heads of one side.
pub trait Judge: Unpin {
    /// What the bytes, of which there are some, begin with; `None`: there is more to come.
    ///
    /// # Errors
    ///
    /// The connection ends.
    fn judge(&mut self, bytes: &[u8]) -> io::Result<Option<Judged>>;

    /// A part of a head is there, these bytes: ready where the rest is not waited for.
    fn poll_late(&mut self, _bytes: &[u8], _context: &mut Context<'_>) -> Poll<Judged> {
        Poll::Pending
    }

    /// A head went on.
    fn went_on(&mut self) {}

    /// The stream ended within a head.
    ///
    /// # Errors
    ///
    /// What is said of that.
    fn broke_off(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A head that was read.
pub enum Judged {
    /// It goes on, so many bytes of it, and then its body.
    Head { bytes: usize, then: Framing },
    /// This goes on in its stead, and nothing after it.
    StandIn(&'static [u8]),
}

/// | state   | passes on                   | leaves for                                |
/// |---------|-----------------------------|-------------------------------------------|
/// | Head    | nothing before it is whole  | Passing, or StandIn if it is refused      |
/// | Passing | the bytes of the head       | Length, Chunked, Close or Head            |
/// | Length  | so many bytes               | Head                                      |
/// | Chunked | up to the end of the last   | Head                                      |
/// | Close   | all that comes              | nothing                                   |
/// | StandIn | another head                | Over                                      |
/// | Over    | nothing: the rest is read and thrown away | nothing                     |
enum State {
    Head,
    Passing { left: usize, then: Framing },
    Length(u64),
    Chunked(Box<Chunks>),
    Close,
    StandIn(&'static [u8]),
    Over,
}

impl<J: Judge> Sieve<J> {
    /// A connection whose heads this one reads.
    pub fn new(from: Rewound, judge: J) -> Self {
        Self {
            from,
            judge,
            state: State::Head,
        }
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
            State::Close => most,
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
                    Framing::Close => State::Close,
                    Framing::Empty | Framing::Length(0) => State::Head,
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
            if matches!(self.state, State::Passing { .. }) {
                self.judge.went_on();
            }
            self.state = next;
        }
    }

    /// Reads the head that has begun, if one has.
    fn poll_head(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if !matches!(self.state, State::Head) || self.from.inbox.is_empty() {
            return Ok(());
        }
        let judged = match self.judge.judge(self.from.inbox.bytes())? {
            Some(judged) => judged,
            None => match self.judge.poll_late(self.from.inbox.bytes(), context) {
                Poll::Ready(judged) => judged,
                Poll::Pending => return Ok(()),
            },
        };
        self.state = match judged {
            Judged::Head { bytes, then } => State::Passing { left: bytes, then },
            Judged::StandIn(head) => State::StandIn(head),
        };
        Ok(())
    }
}

impl<J: Judge> AsyncRead for Sieve<J> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            this.poll_head(context)?;
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
                    State::Head if !this.from.inbox.is_empty() => {
                        Poll::Ready(this.judge.broke_off())
                    }
                    _ => Poll::Ready(Ok(())),
                };
            }
        }
    }
}

impl<J: Judge> AsyncWrite for Sieve<J> {
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
