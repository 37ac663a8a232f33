//! `plunge forward`: one client over standard input and output in front of the same upstreams.
//!
//! Promise: what a line leads to is what the same message leads to over HTTP; every request gets an answer
//! or a fault, and after the end of the input those that are under way are waited for.
//! Cost: one task a request; answers that are ready together leave together.

use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::endpoint::{Begun, Underway, begin, begin_batch, exchange, unreadable, untold};
use super::http::{self, Accepts, SessionStream, Source};
use super::options::ServeOptions;
use super::server::StartError;
use super::session::{Outbox, Session};
use super::state::AppState;
use super::wire::{self, Code, Fault, Kind, RawId, RequestId};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};

/// Messages on their way to the client.
const QUEUE: usize = 256;
/// From this length on, what is written together is written.
const BATCH_BYTES: usize = 1 << 20;
const ACCEPTS: Accepts = Accepts {
    json: true,
    stream: true,
};

/// Why forwarding ended before its input did.
#[derive(Debug)]
#[non_exhaustive]
pub enum ForwardError {
    /// It did not start.
    Start(StartError),
    /// The input cannot be read, or the output not be written.
    Io(io::Error),
}

/// Serves one client until its input ends, then waits for what is under way, at most for `drain`.
///
/// # Errors
///
/// [`ForwardError`]; no child is left then.
///
/// # Panics
///
/// Outside a tokio runtime with I/O and time.
pub async fn forward(
    options: ServeOptions,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    drain: Duration,
) -> Result<(), ForwardError> {
    options
        .check()
        .map_err(|reason| ForwardError::Start(StartError::Options(reason)))?;
    let state =
        AppState::new(options).map_err(|error| ForwardError::Start(StartError::Pool(error)))?;
    let open = Open(state.clone());
    state.tasks.spawn(state.clone().sweep());
    let warmed = state.backend.warm().await;
    warmed.map_err(|fault| ForwardError::Start(StartError::Upstream(fault.message)))?;
    let (out, lines) = mpsc::channel(QUEUE);
    let desk = Desk {
        state: state.clone(),
        out,
        session: None,
        calls: Arc::default(),
    };
    let taken = AtomicU64::new(0);
    let serving = desk.serve(input, drain);
    let served = to_the_end(serving, write(lines, output, &taken), &taken, drain).await;
    state.close(drain).await;
    drop(open);
    served.map_err(ForwardError::Io)
}

/// Runs both to their ends; behind the end of the input, output that is not taken is given up after `patience`.
async fn to_the_end(
    serving: impl Future<Output = io::Result<()>>,
    writing: impl Future<Output = io::Result<()>>,
    taken: &AtomicU64,
    patience: Duration,
) -> io::Result<()> {
    let (serving, mut writing) = (pin!(serving), pin!(writing));
    tokio::select! {
        served = serving => served?,
        // It ends well behind the last answer only.
        written = &mut writing => return written,
    }
    loop {
        // Relaxed, both: one task counts and looks.
        let before = taken.load(Ordering::Relaxed);
        match tokio::time::timeout(patience, &mut writing).await {
            Ok(written) => return written,
            Err(_) if taken.load(Ordering::Relaxed) > before => {}
            Err(_) => return Err(io::Error::other("answers are not read")),
        }
    }
}

/// Ends everything at the end of the future, wherever that is.
struct Open(Arc<AppState>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// The client's side.
struct Desk {
    state: Arc<AppState>,
    out: mpsc::Sender<Bytes>,
    session: Option<Arc<Session>>,
    /// Those that a cancellation of their client ends here.
    calls: Arc<Mutex<HashMap<RequestId, AbortHandle>>>,
}

impl Desk {
    async fn serve(mut self, input: impl AsyncRead + Unpin, drain: Duration) -> io::Result<()> {
        let mut input = BufReader::new(input);
        let limit = self.state.options.get().max_body_bytes;
        while let Some(line) = read_line(&mut input, limit).await? {
            match line {
                Ok(line) if line.trim_ascii().is_empty() => {}
                Ok(line) => self.take(line).await,
                Err(fault) => self.say(fault.to_json(None).into()).await,
            }
        }
        // They would go on for ever, and are waited for like calls.
        self.state.sessions.listeners.close();
        let _ = tokio::time::timeout(drain, self.state.tasks.idle()).await;
        let state = self.state.clone();
        // Its session's child is waited for until nobody has it any more.
        drop(self);
        state.close(drain).await;
        Ok(())
    }

    async fn say(&self, message: Bytes) {
        // Nobody reads any more: the end of the output ends the whole.
        let _ = self.out.send(message).await;
    }

    /// Takes one line.
    async fn take(&mut self, line: Bytes) {
        if let Err((fault, id)) = self.try_take(&line).await {
            let id = id.as_ref().map(RawId::as_bytes);
            self.say(fault.to_json(id).into()).await;
        }
    }

    async fn try_take(&mut self, line: &Bytes) -> Result<(), (Fault, Option<RawId>)> {
        if wire::is_batch(line) {
            return self.take_batch(line).await.map_err(|fault| (fault, None));
        }
        let message = wire::parse(line).map_err(|error| (unreadable(error), None))?;
        let is_modern = http::names_revision(&message);
        let session = self.session().filter(|_| !is_modern);
        let exchange = exchange(
            &self.state,
            &message,
            line,
            ACCEPTS,
            session.as_ref(),
            is_modern,
        );
        let Kind::Request { id, .. } = &message.kind else {
            if !self.cancel(&message) && !is_modern {
                // A client that is told has not asked: there is nobody to answer.
                let told = self.state.backend.tell(&message, &exchange).await;
                if let Err(fault) = told.map_err(untold) {
                    tracing::debug!(text = fault.message, "a notification was not passed on");
                }
            }
            return Ok(());
        };
        let refuse = |fault| (fault, Some(RawId::new(id)));
        if is_modern {
            http::check_meta(&message).map_err(refuse)?;
        }
        if !is_modern && message.method() != Some("initialize") {
            self.check_session().map_err(refuse)?;
        }
        let begun = begin(&self.state, id, &message, exchange).await;
        match begun.map_err(refuse)? {
            Begun::Answered(message) => self.say(message).await,
            Begun::Initialized(begun) => {
                self.say(begun.message).await;
                if let Some(session) = begun.session {
                    self.open(session);
                }
            }
            Begun::Listening(source) => self.run(id, is_modern, pump(source, self.out.clone())),
            Begun::Called(call) => self.run(id, is_modern, answer(call, self.out.clone())),
        }
        Ok(())
    }

    /// Takes several messages in one line.
    async fn take_batch(&self, line: &Bytes) -> Result<(), Fault> {
        self.check_session()?;
        let session = self.session();
        let begun = begin_batch(&self.state, session.as_ref(), line, ACCEPTS).await?;
        if let Some(batch) = begun {
            let (out, served) = (self.out.clone(), self.state.tasks.serve());
            self.state.tasks.spawn(async move {
                // Nobody reads any more: the end of the output ends the whole.
                let _ = out.send(batch.answers().await).await;
                drop(served);
            });
        }
        Ok(())
    }

    /// Refuses what would go to a session that is over.
    fn check_session(&self) -> Result<(), Fault> {
        if self.session.is_some() && self.session().is_none() {
            let text = "the session is over: its server process is gone; initialize a new one";
            return Err(Fault::new(Code::SessionEnded, text));
        }
        Ok(())
    }

    /// The session, while it lives.
    fn session(&self) -> Option<Arc<Session>> {
        let session = self.session.as_ref()?;
        self.state.sessions.find(&session.id)
    }

    /// Brings the session's own messages.
    fn open(&mut self, session: Arc<Session>) {
        let outbox = session.outbox().clone();
        let first = outbox.open_followed();
        let following = follow(outbox, first, self.out.clone());
        self.state.tasks.spawn(following);
        self.session = Some(session);
    }

    /// Runs what a request led to.
    fn run(&self, id: &str, is_modern: bool, running: impl Future<Output = ()> + Send + 'static) {
        let served = self.state.tasks.serve();
        let key = RequestId::from_raw(id).filter(|_| is_modern);
        let (table, named) = (self.calls.clone(), key.clone());
        // Held over the spawn: the task takes its entry out after it was put in.
        let mut calls = self.calls.lock();
        let handle = self.state.tasks.spawn_abortable(async move {
            running.await;
            if let Some(named) = named {
                table.lock().remove(&named);
            }
            drop(served);
        });
        if let (Some(key), Some(handle)) = (key, handle) {
            calls.insert(key, handle);
        }
    }

    /// Ends a request of the revision without sessions, which over HTTP is the end of its stream.
    fn cancel(&self, message: &wire::Envelope<'_>) -> bool {
        if message.method() != Some("notifications/cancelled") {
            return false;
        }
        let named = wire::cancelled_request(message.params);
        let id = named.and_then(|named| RequestId::from_raw(named.request));
        let handle = id.and_then(|id| self.calls.lock().remove(&id));
        handle.inspect(AbortHandle::abort).is_some()
    }
}

/// Brings what a request leads to.
async fn answer(mut call: Underway, out: mpsc::Sender<Bytes>) {
    loop {
        let (message, is_last) = call.message().await;
        if out.send(message).await.is_err() || is_last {
            return;
        }
    }
}

/// Brings a session's own messages, stream after stream: one that is read too slowly ends.
async fn follow(outbox: Outbox, mut next: Option<SessionStream>, out: mpsc::Sender<Bytes>) {
    while let Some(stream) = next.filter(|_| !out.is_closed()) {
        pump(Source::Session(stream), out.clone()).await;
        next = outbox.open_followed();
    }
}

/// Brings a source to its end.
async fn pump(mut source: Source, out: mpsc::Sender<Bytes>) {
    loop {
        let (message, last) = std::future::poll_fn(|cx| source.poll_next(cx)).await;
        if let Some(message) = message
            && out.send(message).await.is_err()
        {
            return;
        }
        if last {
            return;
        }
    }
}

/// The next line; a refusal for one that is too long, which is skipped.
async fn read_line(
    input: &mut (impl AsyncBufReadExt + Unpin),
    limit: usize,
) -> io::Result<Option<Result<Bytes, Fault>>> {
    let (mut line, mut too_long, mut seen) = (BytesMut::new(), false, false);
    loop {
        let piece = input.fill_buf().await?;
        if piece.is_empty() {
            return Ok(seen.then(|| whole(line, too_long, limit)));
        }
        seen = true;
        let end = memchr::memchr(b'\n', piece);
        let text = &piece[..end.unwrap_or(piece.len())];
        too_long |= line.len() + text.len() > limit;
        if !too_long {
            line.extend_from_slice(text);
        }
        let used = text.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            return Ok(Some(whole(line, too_long, limit)));
        }
    }
}

fn whole(line: BytesMut, too_long: bool, limit: usize) -> Result<Bytes, Fault> {
    if too_long {
        let text = format!("a line is longer than {limit} bytes; send less");
        return Err(Fault::new(Code::TooLarge, text));
    }
    Ok(line.freeze())
}

/// Writes messages, each on a line of its own, until nobody sends any more.
async fn write(
    mut lines: mpsc::Receiver<Bytes>,
    mut output: impl AsyncWrite + Unpin,
    taken: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(first) = lines.recv().await {
        let mut next = Some(first);
        while let Some(message) = next {
            buffer.extend_from_slice(&wire::single_line(message));
            buffer.push(b'\n');
            next = match buffer.len() {
                0..BATCH_BYTES => lines.try_recv().ok(),
                _ => None, // another one is the first of what comes next
            };
        }
        let mut rest = &buffer[..];
        while !rest.is_empty() {
            let count = output.write(rest).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            // Relaxed: see `to_the_end`.
            taken.fetch_add(count as u64, Ordering::Relaxed);
            rest = &rest[count..];
        }
        output.flush().await?;
        buffer.clear();
    }
    Ok(())
}

impl std::fmt::Display for ForwardError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::Io(error) => write!(f, "the client cannot be read or written: {error}"),
        }
    }
}

impl std::error::Error for ForwardError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(error) => Some(error),
            Self::Io(error) => Some(error),
        }
    }
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;
