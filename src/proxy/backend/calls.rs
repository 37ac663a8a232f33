//! Requests and notifications of clients on their way to a child.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Backend, Way};
use crate::proxy::call::{Call, Flight, Manner, Owner};
use crate::proxy::guard::{Share, Ticket};
use crate::proxy::http::{Accepts, Version};
use crate::proxy::session::{OwnedChild, Routes, Session};
use crate::proxy::shared::Request;
use crate::proxy::wire::{self, Code, Envelope, Fault, GATEKEEPERS, RawId, RequestId};
use crate::resilience::Deadline;
use crate::sync::Arc;

/// One message of a client, beside its envelope.
pub struct Exchange {
    /// Its bytes.
    pub body: Bytes,
    /// What the client takes.
    pub accepts: Accepts,
    /// The session it names.
    pub session: Option<Arc<Session>>,
    /// The revision with a handshake that its client speaks; of one that named none, the latest.
    pub version: Version,
    /// Until when it may take; begun at its arrival.
    pub deadline: Deadline,
    /// What its revision asks for.
    pub manner: Manner,
    /// How often it was sent again.
    pub retries: u32,
}

impl Exchange {
    /// Where it brings its share of retries.
    pub fn share(&self) -> Share {
        match self.retries {
            0 => Share::Here,
            _ => Share::Elsewhere,
        }
    }

    /// The child of its session.
    fn own_child(&self) -> Result<&OwnedChild, Fault> {
        let session = self.session.as_ref();
        session
            .and_then(|session| session.child())
            .ok_or_else(no_session)
    }
}

impl Backend {
    /// Sends a request to a child.
    ///
    /// # Errors
    ///
    /// The fault to answer with.
    pub async fn call(
        &self,
        raw_id: &str,
        message: &Envelope<'_>,
        exchange: &Exchange,
    ) -> Result<Call, Fault> {
        let token = wire::progress_token(message.params)
            .map_err(|reason| Fault::new(Code::BadMessage, reason))?;
        let line = wire::single_line(exchange.body.clone());
        if let Way::Session(_) = &self.way
            && !exchange.manner.is_modern()
        {
            let child = exchange.own_child()?;
            let ticket = self.guard.admit_in_session(exchange.share());
            let flight = flight(raw_id, token, exchange, ticket);
            let limit = self.options.get().max_in_flight;
            let called = child.call(flight.clone(), line, exchange.deadline, limit);
            return ended_with(&flight, called.await);
        }
        refuse_what_others_would_see(&self.way, message, exchange)?;
        let ticket = self.guard.admit(exchange.share())?;
        let flight = flight(raw_id, token, exchange, Some(ticket));
        let request = Request {
            message,
            line: &line,
            id: raw_id,
            token,
        };
        let called = match self.subscribe(&flight, &request, exchange) {
            Some(subscribed) => subscribed,
            None => self.send(flight.clone(), &request, exchange).await,
        };
        ended_with(&flight, called)
    }

    /// Subscribes a session to a resource of shared children, or takes that back; `None`: this is another request.
    fn subscribe(
        &self,
        flight: &Arc<Flight>,
        request: &Request<'_>,
        exchange: &Exchange,
    ) -> Option<Result<Call, Fault>> {
        let subscribes = subscribes(request.message)?;
        let (Way::Shared(group), Some(session)) = (&self.way, &exchange.session) else {
            return None;
        };
        let deadline = exchange.deadline;
        Some(match subscribes {
            true => group.subscribe(session, flight, request, deadline),
            false => group.unsubscribe(session, flight, request, deadline),
        })
    }

    /// Sends a request that belongs to no session's child.
    async fn send(
        &self,
        flight: Arc<Flight>,
        request: &Request<'_>,
        exchange: &Exchange,
    ) -> Result<Call, Fault> {
        let deadline = exchange.deadline;
        match (&self.way, &self.beside) {
            (Way::Oneshot(children), _) => {
                Box::pin(children.call(flight, request.line.clone(), deadline)).await
            }
            (Way::Exclusive(children), _) => {
                let called = children.call(flight, request, exchange.version, deadline);
                called.await
            }
            (Way::Shared(group), _) => group.call(flight, request, deadline).await,
            (Way::Session(_), Some(beside)) => beside.group.call(flight, request, deadline).await,
            (Way::Session(_), None) => Err(no_session()),
        }
    }

    /// Passes on what no answer is expected to: a notification, or an answer to the child's question.
    ///
    /// # Errors
    ///
    /// The fault to answer with.
    pub async fn tell(&self, message: &Envelope<'_>, exchange: &Exchange) -> Result<(), Fault> {
        let cancelled = match message.method() {
            Some("notifications/cancelled") => wire::cancelled_request(message.params),
            _ => None,
        };
        let cancelled = cancelled.and_then(|named| RequestId::from_raw(named.request));
        match &self.way {
            Way::Session(_) => {
                let child = exchange.own_child()?;
                if cancelled
                    .as_ref()
                    .is_some_and(|id| child.routes.is_handshake(id))
                {
                    return Ok(()); // that is not taken back
                }
                let mut answer = None;
                if let wire::Kind::Response { id, .. } = message.kind {
                    answer = id.and_then(|id| Answering::begin(&child.routes, id));
                    if answer.is_none() {
                        // Late, or answered before: the child does not wait for it.
                        return Ok(());
                    }
                }
                let patience = self.options.get().request_timeout;
                let line = wire::single_line(exchange.body.clone());
                let written = child.write(line, patience).await;
                if let Some(answer) = answer {
                    answer.end(&written);
                }
                written?;
                if let Some(id) = cancelled {
                    child.cancelled(&id);
                }
            }
            Way::Oneshot(_) => {}
            Way::Exclusive(children) => {
                if let (Some(id), Some(session)) = (cancelled, &exchange.session) {
                    children.cancel(session.owner(), &id);
                }
            }
            Way::Shared(group) => {
                // Outside a session a request cannot be told from another client's with the same id.
                if let (Some(id), Some(session)) = (cancelled, &exchange.session) {
                    group.cancel(session.owner(), &id);
                }
            }
        }
        Ok(())
    }

    /// Whether even `initialize` is a request like any other: no child is there before or after it.
    pub fn is_oneshot(&self) -> bool {
        matches!(self.way, Way::Oneshot(_))
    }

    /// Takes a retry out of the budget for a request that was lost, and counts it; `false`: it may not be sent again.
    /// Lost with its child: what was not looked at, which costs nobody anything and is free once, or changes nothing; a
    /// session's own child has no other. An upstream over HTTP that takes no connection may be about to restart: it has
    /// the time of one dial for that. One that forgot a session is not asked in those that are as old.
    pub fn take_retry(
        &self,
        message: &Envelope<'_>,
        exchange: &mut Exchange,
        fault: &Fault,
    ) -> bool {
        let method = message.method().unwrap_or_default();
        let is_modern = exchange.manner.is_modern();
        let left = exchange.deadline.left(Instant::now());
        let is_lost = match fault.code {
            Code::ChildDied => {
                (fault.not_run || wire::is_repeatable(method, is_modern))
                    && (!matches!(self.way, Way::Session(_)) || is_modern)
            }
            Code::NoChild => fault.not_run && self.age(left) < self.options.get().connect_timeout,
            _ => false,
        };
        let is_unseen = fault.not_run && fault.code == Code::ChildDied;
        if let Way::Exclusive(children) = &self.way
            && is_unseen
            && !self.source.starts_processes()
        {
            children.forget_older(self.age(left));
        }
        let is_free = exchange.retries == 0 && is_unseen;
        let may = is_lost && !left.is_zero() && self.guard.may_retry(is_free);
        exchange.retries += u32::from(may);
        may
    }

    /// How long ago a call came that has so much time left.
    fn age(&self, left: Duration) -> Duration {
        self.options.get().call_timeout.saturating_sub(left)
    }
}

/// An answer of a client on its way to the child that asked. Dropped before its end, or not taken, it may be sent again.
struct Answering<'a> {
    routes: &'a Routes,
    id: Option<RequestId>,
}

impl<'a> Answering<'a> {
    /// `None`: the child does not wait for it.
    fn begin(routes: &'a Routes, raw_id: &str) -> Option<Self> {
        let id = RequestId::from_raw(raw_id)?;
        routes.take_asked(&id).then_some(Self {
            routes,
            id: Some(id),
        })
    }

    fn end(mut self, written: &Result<(), Fault>) {
        // What looked at it and refused it would do so again; what is gone waits for nothing.
        let is_settled = |fault: &Fault| match fault.code {
            Code::UpstreamRefused => !GATEKEEPERS.contains(&fault.status()),
            code => matches!(code, Code::SessionEnded | Code::BadMessage),
        };
        if written.as_ref().err().is_none_or(is_settled) {
            self.id = None;
        }
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.routes.ask_again(id);
        }
    }
}

/// A call that did not begin is the end of its flight.
fn ended_with(flight: &Flight, called: Result<Call, Fault>) -> Result<Call, Fault> {
    called.inspect_err(|fault| _ = flight.fail(fault.clone()))
}

/// The refusal of a request outside a session, where one is needed.
pub fn no_session() -> Fault {
    Fault::new(
        Code::BadHeader,
        "`Mcp-Session-Id` is missing; send `initialize` first and then its session id with every request",
    )
}

fn flight(
    raw_id: &str,
    token: Option<&str>,
    exchange: &Exchange,
    ticket: Option<Ticket>,
) -> Arc<Flight> {
    let session = exchange.session.as_ref();
    let owner = session.map_or(Owner::Nobody, |session| session.owner());
    let (id, token) = (RawId::new(raw_id), token.map(RawId::new));
    let (stream, manner) = (exchange.accepts.stream, exchange.manner);
    Flight::admitted(id, token, owner, stream, manner, ticket)
}

/// Whether it is a subscription to a resource, or takes one back; `None`: neither.
fn subscribes(message: &Envelope<'_>) -> Option<bool> {
    match message.method()? {
        "resources/subscribe" => Some(true),
        "resources/unsubscribe" => Some(false),
        _ => None,
    }
}

/// A shared child has one log level, and one set of subscriptions, which only sessions can be kept apart in.
fn refuse_what_others_would_see(
    way: &Way,
    message: &Envelope<'_>,
    exchange: &Exchange,
) -> Result<(), Fault> {
    let method = message.method().unwrap_or_default();
    match (way, method) {
        (Way::Exclusive(_) | Way::Oneshot(_), "subscriptions/listen") => {
            let text = "a subscription would keep a server process from everybody else; it is offered in `stateless` mode";
            Err(Fault::new(Code::NotOffered, text))
        }
        (Way::Shared(group), "resources/subscribe" | "resources/unsubscribe")
            if group.shares_resources() =>
        {
            exchange.session.as_ref().map(drop).ok_or_else(no_session)
        }
        (
            Way::Shared(_) | Way::Exclusive(_),
            "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe",
        ) => {
            let text = format!(
                "`{method}` would change what other clients get; it is offered in `session` mode"
            );
            Err(Fault::new(Code::NotOffered, text))
        }
        _ => Ok(()),
    }
}
