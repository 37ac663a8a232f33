//! `plunge forward`: one client over standard input and output in front of the same upstreams.
//!
//! Promise: what a line leads to is what the same message leads to over HTTP; every request gets an answer
//! or a fault, and after the end of the input, or when it is told to stop, those that are under way are waited for.
//! Cost: one task a request; answers that are ready together leave together.

use std::collections::HashMap;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::lines::{Lines, write};
use super::overtaking::Overtaking;
use super::waiting::{Line, Turn, Waiting, length};
use crate::proxy::endpoint::{Begun, Underway, begin, begin_batch, exchange, unreadable, untold};
use crate::proxy::http::{self, Accepts, SessionStream, Source};
use crate::proxy::options::ServeOptions;
use crate::proxy::server::StartError;
use crate::proxy::session::{Outbox, Session};
use crate::proxy::state::AppState;
use crate::proxy::wire::{self, Code, Fault, Kind, RawId, RequestId};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};

/// Messages on their way to the client.
const QUEUE: usize = 256;
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
    forward_until(std::future::pending(), options, input, output, drain).await
}

/// The same until `stop` is done: then no more lines are read, what is under way has the time of `drain` but for its
/// last five seconds, at least half of it, and gets its fault after that.
///
/// # Errors
///
/// [`ForwardError`]; no child is left then.
///
/// # Panics
///
/// Outside a tokio runtime with I/O and time.
pub async fn forward_until(
    stop: impl Future<Output = ()>,
    options: ServeOptions,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    drain: Duration,
) -> Result<(), ForwardError> {
    let mut stop = pin!(stop);
    options
        .check()
        .map_err(|reason| ForwardError::Start(StartError::Options(reason)))?;
    let state =
        AppState::new(options).map_err(|error| ForwardError::Start(StartError::Pool(error)))?;
    let open = Open(state.clone());
    state.tasks.spawn(state.clone().sweep());
    let warmed = tokio::select! {
        warmed = state.backend.warm() => warmed,
        () = &mut stop => return Ok(()),
    };
    warmed.map_err(|fault| ForwardError::Start(StartError::Upstream(fault.message)))?;
    let (out, lines) = mpsc::channel(QUEUE);
    let desk = Arc::new(Desk {
        state: state.clone(),
        out,
        session: Mutex::default(),
        calls: Arc::default(),
    });
    let taken = AtomicU64::new(0);
    let writing = write(lines, output, &taken);
    let served = desk
        .run_to_the_end(input, writing, &taken, drain, stop)
        .await;
    state.close(drain).await;
    drop(open);
    served.map_err(ForwardError::Io)
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
    /// The id of its session.
    session: Mutex<Option<Box<str>>>,
    /// Those that a cancellation of their client ends here.
    calls: Arc<Mutex<HashMap<RequestId, AbortHandle>>>,
}

impl Desk {
    /// Reads and writes to the ends of both; behind the end of the input, output that is not taken is given up after
    /// `patience`.
    async fn run_to_the_end(
        self: Arc<Self>,
        input: impl AsyncRead + Unpin,
        writing: impl Future<Output = io::Result<()>>,
        taken: &AtomicU64,
        patience: Duration,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> io::Result<()> {
        let mut writing = pin!(writing);
        let mut stopped = tokio::select! {
            served = self.serve(input, taken, patience, stop.as_mut()) => served?,
            // It ends well behind the last answer only.
            written = &mut writing => return written,
        };
        loop {
            // Relaxed, both: one task counts and looks.
            let before = taken.load(Ordering::Relaxed);
            let left = stopped.map_or(patience, |at| patience.saturating_sub(at.elapsed()));
            let waited = tokio::select! {
                waited = tokio::time::timeout(left, &mut writing) => waited,
                () = &mut stop, if stopped.is_none() => {
                    stopped = Some(Instant::now());
                    continue;
                }
            };
            match waited {
                Ok(written) => return written,
                Err(_) if stopped.is_none() && taken.load(Ordering::Relaxed) > before => {}
                Err(_) => return Err(unread()),
            }
        }
    }

    /// Serves until the input ends or `stop` does, and then ends what is there; tells when it was stopped.
    async fn serve(
        self: Arc<Self>,
        input: impl AsyncRead + Unpin,
        taken: &AtomicU64,
        drain: Duration,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> io::Result<Option<Instant>> {
        let (halt, halted) = oneshot::channel();
        let ended = Notify::new();
        let mut taking = pin!(self.take_all(input, halted, &ended));
        let all_taken = tokio::select! {
            biased;
            () = &mut stop => None,
            taken = &mut taking => Some(taken?),
            () = self.is_unread(&ended, taken, drain) => return Err(unread()),
        };
        let mut stopped = all_taken.is_none().then(Instant::now);
        drop(halt);
        // They would go on for ever, and are waited for like calls.
        self.state.sessions.listeners.close();
        if stopped.is_none() {
            tokio::select! {
                _ = tokio::time::timeout(drain, self.state.tasks.idle()) => {}
                () = &mut stop => stopped = Some(Instant::now()),
            }
        }
        let served = self.state.tasks.serve();
        let last = async {
            if all_taken.is_none() {
                // It reads nothing any more.
                let _ = taking.await;
            }
            drop(served);
        };
        // What cannot begin any more gets its fault from the end of the upstream.
        let _ = tokio::join!(self.state.close(drain), tokio::time::timeout(drain, last));
        Ok(stopped)
    }

    /// Takes the lines of the input until it ends, which it tells, or `halted` does. While one waits to begin, the next
    /// ones are read.
    async fn take_all(
        self: &Arc<Self>,
        input: impl AsyncRead + Unpin,
        mut halted: oneshot::Receiver<()>,
        ended: &Notify,
    ) -> io::Result<()> {
        let mut lines = Lines::new(input, self.state.options.get().max_body_bytes);
        let (mut waiting, mut overtaking) = (Waiting::default(), Overtaking::default());
        let mut taking = pin!(None);
        let mut is_open = true;
        loop {
            if taking.is_none() {
                taking.set(waiting.next().map(|line| self.take(line)));
            }
            if !is_open && taking.is_none() && overtaking.is_empty() {
                return Ok(());
            }
            let reads = is_open && overtaking.has_room() && waiting.has_room();
            tokio::select! {
                biased;
                _ = &mut halted, if is_open => is_open = false,
                () = done(taking.as_mut()) => {}
                () = overtaking.one_taken() => {}
                line = lines.next(), if reads => {
                    let Some(line) = line? else {
                        is_open = false;
                        ended.notify_one();
                        continue;
                    };
                    match waiting.add(line.map_err(|fault| (fault, None))) {
                        Turn::Later => {}
                        Turn::AtOnce(line) => {
                            let desk = self.clone();
                            overtaking.add(length(&line), async move { desk.take(line).await });
                        }
                        Turn::Ends => taking.set(None),
                    }
                }
            }
        }
    }

    /// Waits until the input ended, and then until the client takes nothing of what waits for it for `patience`.
    async fn is_unread(&self, ended: &Notify, taken: &AtomicU64, patience: Duration) {
        ended.notified().await;
        loop {
            // Relaxed, both: one task counts and looks.
            let before = taken.load(Ordering::Relaxed);
            let is_full = self.out.capacity() == 0;
            tokio::time::sleep(patience).await;
            if is_full && taken.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }

    async fn say(&self, message: Bytes) {
        // Nobody reads any more: the end of the output ends the whole.
        let _ = self.out.send(message).await;
    }

    /// Takes one line.
    async fn take(&self, line: Line) {
        let taken = match line {
            Ok(line) if line.trim_ascii().is_empty() => Ok(()),
            Ok(line) => self.try_take(&line).await,
            Err(refused) => Err(refused),
        };
        if let Err((fault, id)) = taken {
            let id = id.as_ref().map(RawId::as_bytes);
            self.say(fault.to_json(id).into()).await;
        }
    }

    async fn try_take(&self, line: &Bytes) -> Result<(), (Fault, Option<RawId>)> {
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
                    self.open(&session);
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
        if self.session.lock().is_some() && self.session().is_none() {
            let text = "the session is over: its server process is gone; initialize a new one";
            return Err(Fault::new(Code::SessionEnded, text));
        }
        Ok(())
    }

    /// The session, while it lives.
    fn session(&self) -> Option<Arc<Session>> {
        self.state.sessions.find(self.session.lock().as_deref()?)
    }

    /// Brings the session's own messages.
    fn open(&self, session: &Session) {
        let outbox = session.outbox().clone();
        let first = outbox.open_followed();
        let following = follow(outbox, first, self.out.clone());
        self.state.tasks.spawn(following);
        *self.session.lock() = Some(session.id.clone());
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

/// What a client that reads nothing more leads to.
fn unread() -> io::Error {
    io::Error::other("answers are not read in time")
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

/// Waits for the end of what is there, and takes it out; for ever where nothing is.
async fn done(mut slot: Pin<&mut Option<impl Future<Output = ()>>>) {
    match slot.as_mut().as_pin_mut() {
        Some(running) => running.await,
        None => std::future::pending().await,
    }
    slot.set(None);
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
#[path = "tests.rs"]
mod tests;
