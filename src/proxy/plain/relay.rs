//! The two directions of one exchange, and the limits on both.
//!
//! Promise: a direction reads on only when the other side took what was read; an answer that comes before
//! the request is over is passed on.
//! Cost: without a body to wait for, one direction is all there is.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::ReadHalf;
use tokio::time::Instant;

use super::body::{Body, BodyError};
use super::deadline::Patience;
use super::head::{Client, Response, parse_response};
use super::moves::Moves;
use super::wire::{Inbox, Outbox, write_all};
use crate::resilience::{Deadline, Expired, Timeouts};

/// The longest head of an answer.
pub const MAX_HEAD_BYTES: usize = 256 << 10;

/// So many answers before the answer are passed on; an upstream that says more of them says nothing.
pub const MOST_BEFORE: u32 = 100;

/// Who is told of an answer as it goes.
pub trait Hearer {
    /// Whether the client may ask for more after it.
    fn client_stays(&self) -> bool;
    /// Its head came.
    fn heard(&mut self, response: &Response, at: Instant);
    /// So many bytes of its body went to the client.
    fn told(&mut self, bytes: u64);
}

/// Why an exchange has no answer, or not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not a byte of the request went out.
    Unsent,
    /// Not a byte of an answer came.
    Silent,
    /// The connection ended in the middle of the answer.
    BrokenOff,
    /// The upstream's answer is none.
    BadAnswer,
    /// The request's body is not what its head says.
    BadRequest,
    /// It is too long.
    TooLarge,
    /// The client is gone.
    ClientGone,
    /// The client did not send the rest of its request, or did not take the answer, in time.
    ClientLate,
    /// A limit was reached.
    Late(Expired),
}

/// Passes an answer on. The client keeps its connection if it asked for that, all of its request was sent when the
/// answer's head came, and the hearer says so.
///
/// # Errors
///
/// [`Fault`].
pub async fn answer<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    from: &mut R,
    inbox: &mut Inbox,
    to: &mut W,
    client: Client,
    moves: &Moves,
    hearer: &mut impl Hearer,
) -> Result<Response, Fault> {
    let (mut out, mut before) = (Outbox::take(), 0);
    let response = loop {
        match read(from, inbox, moves).await {
            Ok(1..) => {}
            _ if inbox.is_empty() && moves.seen().1 == 0 => return Err(Fault::Silent),
            _ => return Err(Fault::BrokenOff),
        }
        let client = Client {
            keep_alive: client.keep_alive && moves.is_whole() && hearer.client_stays(),
            ..client
        };
        match next_head(inbox, client, &mut out, &mut before)? {
            Some(response) => break response,
            None if inbox.bytes().len() > MAX_HEAD_BYTES => return Err(Fault::BadAnswer),
            None if out.is_empty() => {}
            // What was said in between goes out at once: somebody waits for it.
            None => flush(to, &mut out, moves).await?,
        }
    };
    hearer.heard(&response, Instant::now());
    moves.begin();
    let mut body = Body::new(response.framing, response.writing, u64::MAX);
    let mut told = 0;
    loop {
        let used = body
            .advance(inbox.bytes(), &mut out)
            .map_err(|_| Fault::BadAnswer)?;
        inbox.consume(used);
        flush(to, &mut out, moves).await?;
        hearer.told(body.bytes - told);
        told = body.bytes;
        if body.is_done() {
            return Ok(response);
        }
        match read(from, inbox, moves).await {
            Ok(1..) => {}
            Ok(0) => body.end(&mut out).map_err(|_| Fault::BrokenOff)?,
            // A body that ends with its connection is whole only if that ended in order.
            Err(_) => return Err(Fault::BrokenOff),
        }
    }
}

async fn read<R: AsyncRead + Unpin>(
    from: &mut R,
    inbox: &mut Inbox,
    moves: &Moves,
) -> std::io::Result<usize> {
    let count = inbox.read(from).await?;
    if count > 0 {
        moves.got();
    }
    Ok(count)
}

/// The head of the answer, or of the switch to another protocol; what comes before it is appended to
/// `out`.
fn next_head(
    inbox: &mut Inbox,
    client: Client,
    out: &mut Vec<u8>,
    before: &mut u32,
) -> Result<Option<Response>, Fault> {
    loop {
        let start = out.len();
        let Some(response) =
            parse_response(inbox.bytes(), client, out).map_err(|_| Fault::BadAnswer)?
        else {
            return Ok(None);
        };
        inbox.consume(response.head_bytes);
        match response.status {
            101 if client.upgrade => return Ok(Some(response)),
            101 => return Err(Fault::BadAnswer),
            100..=199 if *before == MOST_BEFORE => return Err(Fault::BadAnswer),
            100..=199 => *before += 1,
            _ => return Ok(Some(response)),
        }
        if client.is_old {
            out.truncate(start);
        }
        if inbox.is_empty() {
            return Ok(None);
        }
    }
}

async fn flush<W: AsyncWrite + Unpin>(
    to: &mut W,
    out: &mut Vec<u8>,
    moves: &Moves,
) -> Result<(), Fault> {
    if out.is_empty() {
        return Ok(());
    }
    moves.set_telling(true);
    write_all(to, out).await.map_err(|_| Fault::ClientGone)?;
    moves.set_telling(false);
    moves.got();
    out.clear();
    Ok(())
}

/// Passes the rest of a request's body on, and then looks whether its client is still there; it ends in order with the
/// client's next words.
///
/// # Errors
///
/// [`Fault`]; [`Fault::Silent`] where the upstream does not take more of it.
pub async fn pump<W: AsyncWrite + Unpin>(
    from: &mut ReadHalf<'_>,
    inbox: &mut Inbox,
    to: &mut W,
    body: &mut Body,
    moves: &Moves,
) -> Result<(), Fault> {
    let mut out = Outbox::take();
    loop {
        let used = body.advance(inbox.bytes(), &mut out).map_err(of_request)?;
        inbox.consume(used);
        if !out.is_empty() {
            write_all(to, &out).await.map_err(|_| Fault::Silent)?;
            moves.sent();
            out.clear();
        }
        if body.is_done() {
            moves.set_whole();
            return match inbox.is_empty() {
                true => says_more(from).await,
                false => Ok(()),
            };
        }
        moves.set_asking(true);
        match inbox.read(from).await {
            Ok(0) | Err(_) => return Err(Fault::ClientGone),
            Ok(_) => moves.sent(),
        }
        moves.set_asking(false);
    }
}

async fn says_more(client: &mut ReadHalf<'_>) -> Result<(), Fault> {
    match client.peek(&mut [0]).await {
        Ok(1..) => Ok(()),
        Ok(0) | Err(_) => Err(Fault::ClientGone),
    }
}

/// What a body's error says of its request.
pub fn of_request(error: BodyError) -> Fault {
    match error {
        BodyError::Invalid => Fault::BadRequest,
        BodyError::TooLarge => Fault::TooLarge,
        BodyError::Broken => Fault::ClientGone,
    }
}

/// Does something for a client as long as that is there, else `None`: one that ended its side waits for nothing any
/// more, and what is done for it is stopped. One that has said more is not looked at.
pub async fn unless_gone<T>(
    task: impl Future<Output = T>,
    client: &mut ReadHalf<'_>,
    mut says_more: bool,
) -> Option<T> {
    let mut task = pin!(task);
    poll_fn(|context| {
        if let Poll::Ready(done) = task.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        if says_more {
            return Poll::Pending;
        }
        // No call to the system while nothing was heard of the client.
        let mut byte = [0];
        match client.poll_peek(context, &mut ReadBuf::new(&mut byte)) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(None),
            // Its next request, or more of this one.
            Poll::Ready(Ok(_)) => {
                says_more = true;
                Poll::Pending
            }
        }
    })
    .await
}

/// Runs both until the answer is over; the request may not be by then.
///
/// # Errors
///
/// [`Fault`].
pub async fn both(
    answering: impl Future<Output = Result<Response, Fault>>,
    pumping: impl Future<Output = Result<(), Fault>>,
) -> Result<Response, Fault> {
    let (mut answering, mut pumping) = (pin!(answering), pin!(pumping));
    let mut pumped = false;
    poll_fn(|context| {
        let mut fault = None;
        if !pumped && let Poll::Ready(ended) = pumping.as_mut().poll(context) {
            match ended {
                // It may have said why before it stopped to read.
                Ok(()) | Err(Fault::Silent) => pumped = true,
                Err(found) => fault = Some(found),
            }
        }
        match (answering.as_mut().poll(context), fault) {
            (Poll::Pending, Some(fault)) => Poll::Ready(Err(fault)),
            (answered, _) => answered,
        }
    })
    .await
}

/// Runs a task within the limits of one exchange.
///
/// # Errors
///
/// [`Fault::Late`]; [`Fault::ClientLate`] where the upstream was not waited for.
pub async fn within<T>(
    patience: &mut Patience,
    deadline: &mut Deadline,
    limits: &Timeouts,
    moves: &Moves,
    task: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let mut task = pin!(task);
    let mut seen = (0, 0);
    poll_fn(|context| {
        if let Poll::Ready(done) = task.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        let moved = moves.seen();
        if moved != seen {
            match moved.1 > 0 {
                true => deadline.progress(limits, Instant::now()),
                false => deadline.again(limits, Instant::now()),
            }
            seen = moved;
        }
        patience.poll_due(context, deadline.expires()).map(|_| {
            let expired = deadline.expired(Instant::now());
            Err(match moves.is_clients_turn() {
                true => Fault::ClientLate,
                false => Fault::Late(expired.unwrap_or(Expired::Overall)),
            })
        })
    })
    .await
}
