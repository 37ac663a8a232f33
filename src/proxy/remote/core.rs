//! One session with an upstream: its names, what is under way, and where its messages go.
//!
//! Promise: after the end nothing is under way and nothing is said. Cost: a short lock a step.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::head::Names;
use super::outgoing::Outgoing;
use super::source::RemoteSource;
use super::{ask, stand};
use crate::proxy::http::{SESSION, answered_revision};
use crate::proxy::peer::{Missed, PeerSink, Stream};
use crate::proxy::wire::{Code, Fault, RequestId};
use crate::sync::{Arc, AtomicBool, AtomicUsize, Mutex, OnceLock, Ordering};
use crate::transport::http::HttpClient;

/// Messages without an answer that may be on their way at a time without anybody who waits for them.
const MAX_TOLD: usize = 256;
/// How long the upstream may take to take one.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// The session.
pub struct Core {
    /// The upstream.
    pub source: Arc<RemoteSource>,
    runtime: Handle,
    state: Mutex<State>,
    /// Where it posts to, if all that it brings comes on one stream.
    posts: OnceLock<HttpClient>,
    over: AtomicBool,
    told: AtomicUsize,
}

#[derive(Default)]
struct State {
    sink: Option<Arc<dyn PeerSink>>,
    names: Names,
    running: HashMap<RequestId, Running>,
    begun: u64,
    standing: Option<AbortHandle>,
    reason: Option<String>,
}

/// A request under way.
struct Running {
    serial: u64,
    ends_by_leaving: bool,
    /// Known once it is spawned.
    task: Option<AbortHandle>,
    /// Waits for an answer on the session's one stream.
    waits: Option<oneshot::Sender<()>>,
}

/// A request's place among those under way, until dropped.
pub struct Place {
    /// The session.
    pub core: Arc<Core>,
    /// The request.
    pub id: RequestId,
    serial: u64,
}

impl Place {
    /// Ends when the answer was seen on the session's one stream, or it is given up.
    pub fn answered(&self) -> oneshot::Receiver<()> {
        let (seen, answered) = oneshot::channel();
        let mut state = self.core.state.lock();
        let running = state.running.get_mut(&self.id);
        if let Some(running) = running.filter(|running| running.serial == self.serial) {
            running.waits = Some(seen);
        }
        answered
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.core.state.lock();
        let mine = |running: &Running| running.serial == self.serial;
        if state.running.get(&self.id).is_some_and(mine) {
            state.running.remove(&self.id);
        }
    }
}

impl Core {
    /// A session that is not begun.
    pub fn new(source: Arc<RemoteSource>, runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            source,
            runtime,
            state: Mutex::default(),
            posts: OnceLock::new(),
            over: AtomicBool::new(false),
            told: AtomicUsize::new(0),
        })
    }

    /// Sends every message from now on to this sink.
    pub fn attach(&self, sink: Arc<dyn PeerSink>) {
        let mut state = self.state.lock();
        let Some(reason) = state.reason.clone() else {
            let earlier = state.sink.replace(sink);
            drop(state); // an earlier sink may drop anything
            drop(earlier);
            return;
        };
        drop(state);
        sink.on_over(&reason);
    }

    /// What names it at the upstream.
    pub fn names(&self) -> Names {
        self.state.lock().names.clone()
    }

    /// Where its messages go.
    pub fn posts(&self) -> &HttpClient {
        self.posts.get().unwrap_or(&self.source.client)
    }

    /// Whether all that it brings comes on one stream, with which it ends.
    pub fn has_one_stream(&self) -> bool {
        self.posts.get().is_some()
    }

    /// Keeps the id that came with the answer to `initialize`.
    pub fn greeted(&self, headers: &HeaderMap) {
        if let Some(session) = headers.get(SESSION) {
            self.state.lock().names.session = Some(session.clone());
        }
    }

    /// Keeps the revision that the answer to `initialize` agrees on.
    pub fn agreed(&self, answer: &[u8]) {
        let revision = answered_revision(answer);
        let version = revision.and_then(|revision| revision.parse().ok());
        self.state.lock().names.version = version;
    }

    /// Begins a request; one that has the same id is given up.
    ///
    /// # Errors
    ///
    /// The fault of a session that is over.
    pub fn begin(self: &Arc<Self>, id: RequestId, message: Outgoing) -> Result<(), Fault> {
        let mut state = self.state.lock();
        // Under the lock: what begins after the end is ended by nobody.
        if self.is_over() {
            return Err(self.gone());
        }
        state.begun += 1;
        let serial = state.begun;
        let running = Running {
            serial,
            ends_by_leaving: message.names_revision && !self.has_one_stream(),
            task: None,
            waits: None,
        };
        let earlier = state.running.insert(id.clone(), running);
        drop(state);
        end(earlier);
        let core = self.clone();
        let place = Place { core, id, serial };
        let named = place.id.clone();
        // Not under the lock: a runtime that is gone drops the task, and its place, at once.
        let task = self.runtime.spawn(ask::ask(place, message)).abort_handle();
        let mut state = self.state.lock();
        match state.running.get_mut(&named) {
            Some(running) if running.serial == serial => running.task = Some(task),
            // It is done, or was given up meanwhile.
            _ => task.abort(),
        }
        Ok(())
    }

    /// Gives a request up.
    pub fn give_up(&self, id: &RequestId) {
        let running = self.state.lock().running.remove(id);
        end(running);
    }

    /// Whether a request is under way for which the end of its connection is the cancellation.
    pub fn ends_by_leaving(&self, id: &RequestId) -> bool {
        let state = self.state.lock();
        state
            .running
            .get(id)
            .is_some_and(|running| running.ends_by_leaving)
    }

    /// Runs something that ends by itself.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// Has a message sent that nobody waits for.
    pub fn tell_later(self: &Arc<Self>, message: Outgoing) {
        let given_up = message.cancels().cloned();
        // Nobody waits for its answer, whether the upstream knows that or not.
        let give_up = move |core: &Self| given_up.iter().for_each(|id| core.give_up(id));
        // Relaxed: a bound on memory; a few more at once do no harm.
        if self.told.fetch_add(1, Ordering::Relaxed) >= MAX_TOLD {
            self.told.fetch_sub(1, Ordering::Relaxed);
            return give_up(self);
        }
        let core = self.clone();
        self.runtime.spawn(async move {
            let told = timeout(TOLD_WITHIN, ask::tell(&core, message)).await;
            core.told.fetch_sub(1, Ordering::Relaxed);
            if !matches!(told, Ok(Ok(()))) {
                tracing::debug!(?told, "a message was not taken");
            }
            give_up(&core);
        });
    }

    /// Opens the session's own stream, unless it is open.
    pub fn stand(self: &Arc<Self>) {
        self.stand_by(None, stand::stand(self.clone()));
    }

    /// Reads its one stream from now on, and posts to where that says; `false`: it has a stream, or is over.
    pub fn stand_alone(
        &self,
        posts: HttpClient,
        reading: impl Future<Output = ()> + Send + 'static,
    ) -> bool {
        self.stand_by(Some(posts), reading)
    }

    fn stand_by(
        &self,
        posts: Option<HttpClient>,
        reading: impl Future<Output = ()> + Send + 'static,
    ) -> bool {
        let mut state = self.state.lock();
        if state.standing.is_some() || self.is_over() {
            return false;
        }
        if let Some(posts) = posts {
            let _ = self.posts.set(posts); // it had no stream
        }
        state.standing = Some(self.runtime.spawn(reading).abort_handle());
        true
    }

    /// Notes that the answer to a request came on the session's one stream.
    pub fn answered(&self, id: &RequestId) {
        let mut state = self.state.lock();
        let running = state.running.get_mut(id);
        let waits = running.and_then(|running| running.waits.take());
        drop(state);
        if let Some(waits) = waits {
            let _ = waits.send(()); // else it was given up
        }
    }

    /// Passes a message on that came on the stream of this request, or else on the session's own.
    pub fn say(&self, message: Bytes, request: Option<&RequestId>) {
        let sink = self.state.lock().sink.clone();
        if let Some(sink) = sink {
            sink.on_line_of(message, request.map_or(Stream::Session, Stream::Request));
        }
    }

    /// Says that the answer to a request has begun.
    pub fn sign(&self, id: &RequestId) {
        let sink = self.state.lock().sink.clone();
        if let Some(sink) = sink {
            sink.on_sign(id);
        }
    }

    /// Says that messages may have been missed.
    pub fn missed(&self, missed: Missed) {
        let sink = self.state.lock().sink.clone();
        if let Some(sink) = sink {
            sink.on_gap(missed);
        }
    }

    /// Says that a request will not be answered.
    pub fn fault(&self, id: &RequestId, fault: Fault) {
        let sink = self.state.lock().sink.clone();
        if let Some(sink) = sink {
            sink.on_fault(id, fault);
        }
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        // Acquire: pairs with the Release in `close`.
        self.over.load(Ordering::Acquire)
    }

    /// The refusal of a session that is over.
    pub fn gone(&self) -> Fault {
        let text = "the upstream's session is over; initialize a new one";
        Fault::new(Code::ChildDied, text)
    }

    /// Begins nothing more in it; the first reason counts.
    pub fn close(&self, reason: &str) {
        let mut state = self.state.lock();
        state.reason.get_or_insert_with(|| reason.to_owned());
        // Release: pairs with the Acquire in `is_over`. Under the lock: who takes out what is under way after this
        // takes out all.
        self.over.store(true, Ordering::Release);
    }

    /// The same, for the upstream does not know it. What is under way is ended only where who sent it wants that, or
    /// where all answers come on a stream that ends with it.
    pub fn lose(&self, reason: &str) {
        if self.has_one_stream() {
            let text = format!("{reason}, and the request had no answer yet");
            return self.break_off(reason, &Fault::new(Code::ChildDied, text));
        }
        self.close(reason);
        let (standing, sink) = {
            let mut state = self.state.lock();
            (state.standing.take(), state.sink.clone())
        };
        if !sink.is_some_and(|sink| sink.on_lost(reason)) {
            self.end(reason);
        }
        if let Some(standing) = standing {
            standing.abort(); // last: it may be this task
        }
    }

    /// Ends it, and tells what is under way that it may have run.
    pub fn break_off(&self, reason: &str, fault: &Fault) {
        self.close(reason); // before: nothing begins that is not told
        let under_way: Vec<_> = self.state.lock().running.keys().cloned().collect();
        for id in &under_way {
            self.fault(id, fault.clone());
        }
        self.end(reason);
    }

    /// Ends it and says why; the first reason counts.
    pub fn end(&self, reason: &str) {
        if let Some(sink) = self.stop(reason) {
            sink.on_over(reason);
        }
    }

    /// Ends it without a word.
    pub fn stop(&self, reason: &str) -> Option<Arc<dyn PeerSink>> {
        self.close(reason);
        let mut state = self.state.lock();
        let running = std::mem::take(&mut state.running);
        let (standing, sink) = (state.standing.take(), state.sink.take());
        drop(state);
        for (_, running) in running {
            end(Some(running));
        }
        if let Some(standing) = standing {
            standing.abort();
        }
        sink
    }
}

fn end(running: Option<Running>) {
    if let Some(task) = running.and_then(|running| running.task) {
        task.abort();
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
