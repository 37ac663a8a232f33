//! A session with an upstream as a pooled value, and the way in to it.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::core::Core;
use super::head::Names;
use super::outgoing::{Outgoing, What};
use super::source::RemoteSource;
use super::{ask, head};
use crate::BoxError;
use crate::proxy::peer::PeerSink;
use crate::proxy::wire::{Code, Fault, RequestId};
use crate::sync::Arc;
use crate::transport::http::HttpRequest;

/// How long the upstream may take to end a session.
const FAREWELL: Duration = Duration::from_secs(2);

/// A session that is not begun, or begun by the first message; dropped, it says nothing more here, and has its end told
/// to the upstream in the background, which a shutdown waits for.
pub struct Remote {
    core: Arc<Core>,
}

/// Sends messages in a session; clones send in the same one.
#[derive(Clone)]
pub struct RemoteWriter {
    core: Arc<Core>,
}

impl Remote {
    /// One that nothing was said in yet, with an upstream that takes connections.
    ///
    /// # Errors
    ///
    /// Why it takes none.
    pub async fn open(source: &Arc<RemoteSource>) -> Result<Self, BoxError> {
        source.client.reach().await?;
        Ok(Self {
            core: Core::new(source.clone(), Handle::current()),
        })
    }

    /// Sends every message from now on to `sink`.
    pub fn attach(&self, sink: Arc<dyn PeerSink>) {
        self.core.attach(sink);
    }

    /// The way in.
    pub fn writer(&self) -> RemoteWriter {
        RemoteWriter {
            core: self.core.clone(),
        }
    }

    /// Whether nothing more can be said in it.
    pub fn is_over(&self) -> bool {
        self.core.is_over()
    }

    /// Ends a request here alone.
    pub fn give_up(&self, id: u64) {
        if let Ok(id) = i64::try_from(id) {
            self.core.give_up(&RequestId::Integer(id));
        }
    }

    /// Ends it at the upstream, too.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the upstream may not learn of it.
    pub async fn close(self) {
        if let Some(farewell) = self.leave("it was closed") {
            farewell.await;
        }
    }

    /// Ends it here; what is left is to tell the upstream, if that knows of it.
    fn leave(&self, reason: &str) -> Option<impl Future<Output = ()> + Send + use<>> {
        let names = self.core.names();
        let is_known = names.session.is_some() && !self.core.is_over();
        self.core.stop(reason);
        is_known.then(|| farewell(self.core.source.clone(), names))
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // One that was begun and is of no use: it was not what was wanted, or did not answer.
        if let Some(farewell) = self.leave("it was dropped") {
            let served = self.core.source.farewells.serve();
            self.core.spawn(async move {
                farewell.await;
                drop(served);
            });
        }
    }
}

/// Tells the upstream that a session is over. 405: it ends its sessions by itself. A failure leaves it to do so.
async fn farewell(source: Arc<RemoteSource>, names: Names) {
    let request = HttpRequest {
        method: Method::DELETE,
        headers: head::of_delete(&source.headers, &names),
        body: Bytes::new(),
    };
    if let Ok(Ok(reply)) = timeout(FAREWELL, source.client.send(&request)).await {
        let _ = ask::rest(reply.into_body()).await;
    }
}

impl RemoteWriter {
    /// Sends one message: a request is on its way then, anything else was taken.
    ///
    /// # Errors
    ///
    /// The fault of a session that is over, or of an upstream that does not take the message.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, the message may or may not have been sent.
    pub async fn write(&self, line: Bytes, patience: Duration) -> Result<(), Fault> {
        let Some(message) = self.ready(line)? else {
            return Ok(());
        };
        match Box::pin(timeout(patience, ask::tell(&self.core, message))).await {
            Ok(told) => told,
            Err(_) => {
                let text = "the upstream did not take the message in time";
                Err(Fault::new(Code::TimedOut, text))
            }
        }
    }

    /// Sends one message that nobody waits for.
    pub fn try_write(&self, line: Bytes) {
        if let Ok(Some(message)) = self.ready(line) {
            self.core.tell_later(message);
        }
    }

    /// Begins a request or ends one; gives back what has to be told.
    fn ready(&self, line: Bytes) -> Result<Option<Outgoing>, Fault> {
        let Some(message) = Outgoing::read(line, &self.core.source.tools) else {
            return Err(Fault::new(Code::BadMessage, "this is no JSON-RPC message"));
        };
        if self.core.is_over() {
            // A session that was forgotten keeps what is under way, until that is cancelled.
            if let What::Cancelled(Some(id)) = &message.what {
                self.core.give_up(id);
            }
            return Err(self.core.gone());
        }
        match &message.what {
            What::Request { id, .. } => {
                let id = id.clone();
                self.core.begin(id, message).map(|()| None)
            }
            What::Cancelled(Some(id)) if self.core.ends_by_leaving(id) => {
                self.core.give_up(id);
                Ok(None)
            }
            _ => Ok(Some(message)),
        }
    }
}
