//! The first request of a client of a revision with a handshake.

use bytes::Bytes;
use tokio::time::Instant;

use super::calls::{Exchange, no_session};
use super::{Backend, Way};
use crate::proxy::call::{Flight, Owner, Step};
use crate::proxy::guard::Share;
use crate::proxy::http::{Version, answered_revision, wanted_version};
use crate::proxy::options::ServeOptions;
use crate::proxy::session::{Nursery, OwnedChild, Session, SessionTable};
use crate::proxy::wire::{self, Code, Envelope, Fault, RawId};
use crate::resilience::{Deadline, Timeouts};
use crate::sync::Arc;

/// Children that may turn out to be dead under one `initialize`.
const MAX_TRIES: usize = 3;

/// What a client's `initialize` led to.
pub struct Initialized {
    /// The answer to the client.
    pub message: Bytes,
    /// The session, unless the answer is an error.
    pub session: Option<Arc<Session>>,
}

impl Backend {
    /// Answers a client's `initialize`.
    ///
    /// # Errors
    ///
    /// The fault to answer with.
    pub async fn initialize(
        &self,
        sessions: &SessionTable,
        id: RawId,
        message: &Envelope<'_>,
        exchange: &Exchange,
    ) -> Result<Initialized, Fault> {
        match &self.way {
            Way::Session(nursery) => {
                let ticket = self.guard.admit(exchange.share())?;
                let begun =
                    relay_initialize(nursery, &self.options.whole(), sessions, id, exchange).await;
                ticket.end_with(&begun);
                begun
            }
            Way::Oneshot(_) => {
                let text = "a program that answers once keeps no session";
                Err(Fault::new(Code::NotOffered, text))
            }
            Way::Shared(_) | Way::Exclusive(_) => {
                let (message, version) = self.greet(&id, message, exchange).await?;
                let session = sessions.begin(version, None)?;
                Ok(Initialized {
                    message,
                    session: Some(session),
                })
            }
        }
    }

    /// The answer to an `initialize` for which the children were asked before.
    ///
    /// # Errors
    ///
    /// The fault to answer with.
    pub async fn greet(
        &self,
        id: &RawId,
        message: &Envelope<'_>,
        exchange: &Exchange,
    ) -> Result<(Bytes, Version), Fault> {
        let (share, deadline) = (exchange.share(), exchange.deadline);
        let wanted = wanted_version(message.params);
        let (hello, version, subscribes) = match &self.way {
            Way::Exclusive(children) => {
                let wanted = wanted.unwrap_or(Version::LATEST);
                let asking = self.hello_of_one(children, wanted, share, deadline);
                let hello = asking.await?;
                children.favour(wanted);
                let version = hello.version;
                (hello, version, false)
            }
            Way::Shared(group) => {
                let hello = self.hello_of(group, share, deadline).await?;
                let version = hello.agree(wanted);
                (hello, version, group.shares_resources())
            }
            Way::Session(_) | Way::Oneshot(_) => return Err(no_session()),
        };
        Ok((hello.answer(id, version, subscribes)?, version))
    }

    /// The child for a session that begins before its client said anything; `None` where sessions have
    /// none of their own.
    ///
    /// # Errors
    ///
    /// The fault to answer with.
    pub async fn seat(&self) -> Result<Option<OwnedChild>, Fault> {
        match &self.way {
            Way::Session(nursery) => {
                let ticket = self.guard.admit(Share::Here)?;
                let limits = self.options.get().timeouts();
                let child = nursery.take(Deadline::new(&limits, Instant::now())).await;
                ticket.end_with(&child);
                child.map(Some)
            }
            Way::Shared(_) | Way::Exclusive(_) => Ok(None),
            Way::Oneshot(_) => {
                let text = "a program that answers once keeps no session";
                Err(Fault::new(Code::NotOffered, text))
            }
        }
    }
}

async fn relay_initialize(
    nursery: &Nursery,
    options: &ServeOptions,
    sessions: &SessionTable,
    id: RawId,
    exchange: &Exchange,
) -> Result<Initialized, Fault> {
    // A child may start slowly: the handshake has a time of its own.
    let patience = options.connect_timeout.max(options.request_timeout);
    let limits = Timeouts {
        request: patience,
        ..options.timeouts()
    };
    let line = wire::single_line(exchange.body.clone());
    let mut deadline = exchange.deadline;
    let mut died = 0;
    let (mut child, mut call) = loop {
        let child = nursery.take(deadline).await?;
        // Messages before the answer wait for the session's stream: there is no session yet to send them in.
        let flight = Flight::new(id.clone(), None, Owner::Nobody, false);
        deadline.again(&limits, Instant::now());
        let limit = options.max_in_flight;
        match child.call(flight, line.clone(), deadline, limit).await {
            Ok(call) => break (child, call),
            // It died while it waited for a session; another one may have the message.
            Err(fault) if fault.not_run && died + 1 < MAX_TRIES => died += 1,
            Err(fault) => return Err(fault),
        }
    };
    let step = tokio::time::timeout_at(deadline.expires(), call.step()).await;
    let step = step.map_err(|_| {
        let text = "the server did not answer `initialize` in time; it was ended";
        Fault::new(Code::TimedOut, text)
    })?;
    let (message, session) = match step {
        Step::Answer {
            message,
            is_result: true,
        } => {
            let revision = answered_revision(&message);
            let version = revision.as_deref().and_then(Version::parse);
            child.revision = revision.filter(|_| version.is_none());
            // Of one that nobody knows here: what every client understands.
            let version = version.unwrap_or(Version::OLDEST);
            let session = sessions.begin(version, Some(child))?;
            (message, Some(session))
        }
        Step::Answer { message, .. } | Step::Related(message) => (message, None),
        Step::Fault(fault) => return Err(fault),
    };
    Ok(Initialized { message, session })
}
