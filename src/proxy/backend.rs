//! How the requests of clients reach a child, by mode.

use crate::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;

use super::call::{Call, Flight, Owner, Step};
use super::guard::Guard;
use super::http::{Accepts, Version};
use super::leased::{Exclusive, Oneshot};
use super::options::{Mode, ServeOptions, Upstream};
use super::session::{Nursery, OwnedChild, Session, SessionTable};
use super::shared::{Group, Request};
use super::tasks::Tasks;
use super::wire::{self, Code, Envelope, Fault, RawId, RequestId};
use crate::resilience::{Deadline, Outcome, Timeouts};
use crate::{BoxError, CloseReport};

/// The way to the children of one upstream.
pub struct Backend {
    /// How they are shared.
    pub way: Way,
    /// What keeps calls from an upstream that fails.
    pub guard: Arc<Guard>,
    options: Arc<ServeOptions>,
}

/// How children are shared.
pub enum Way {
    /// A child a session.
    Session(Nursery),
    /// A handshaken child a request.
    Exclusive(Exclusive),
    /// Few children for everybody.
    Shared(Arc<Group>),
    /// A child a request, which exits after it.
    Oneshot(Oneshot),
}

/// One message of a client.
pub struct Exchange<'a> {
    /// Its envelope.
    pub message: &'a Envelope<'a>,
    /// Its bytes.
    pub body: &'a Bytes,
    /// What the client takes.
    pub accepts: Accepts,
    /// The session it names.
    pub session: Option<&'a Arc<Session>>,
    /// Until when it may take; begun at its arrival.
    pub deadline: Deadline,
}

/// What a client's `initialize` led to.
pub struct Initialized {
    /// The answer to the client.
    pub message: Bytes,
    /// The session, unless the answer is an error.
    pub session: Option<Arc<Session>>,
}

impl Backend {
    /// The backend of a mode, without children.
    ///
    /// # Errors
    ///
    /// That of the pool's options.
    pub fn new(
        options: &Arc<ServeOptions>,
        sessions: &Arc<SessionTable>,
        tasks: &Tasks,
    ) -> Result<Self, BoxError> {
        let Upstream::Stdio(command) = &options.upstream;
        let guard = Guard::new(options.breaker);
        let way = match options.mode {
            Mode::Session => Way::Session(Nursery::new(command, options)?),
            Mode::Exclusive => Way::Exclusive(Exclusive::new(command, options, sessions, &guard)?),
            Mode::Oneshot => Way::Oneshot(Oneshot::new(command, options)?),
            Mode::Shared => Way::Shared(Group::new(command, options, sessions, tasks, &guard)?),
        };
        Ok(Self {
            way,
            guard,
            options: options.clone(),
        })
    }

    /// Starts the first child.
    ///
    /// # Errors
    ///
    /// Why it cannot be started.
    pub async fn warm(&self) -> Result<(), Fault> {
        match &self.way {
            Way::Session(nursery) => nursery.warm().await,
            Way::Shared(group) => group.warm().await,
            Way::Exclusive(children) => children.warm().await,
            Way::Oneshot(children) => children.nursery().warm().await,
        }
    }

    /// Answers a client's `initialize`.
    ///
    /// # Errors
    ///
    /// The fault to answer with.
    pub async fn initialize(
        &self,
        sessions: &SessionTable,
        id: RawId,
        exchange: &Exchange<'_>,
    ) -> Result<Initialized, Fault> {
        match &self.way {
            Way::Session(nursery) => {
                let ticket = self.guard.admit()?;
                let begun = relay_initialize(nursery, &self.options, sessions, id, exchange).await;
                ticket.end(match &begun {
                    Ok(_) => Outcome::Success,
                    Err(fault) if fault.code == Code::Busy => Outcome::Abandoned,
                    Err(_) => Outcome::Failure,
                });
                begun
            }
            Way::Oneshot(_) => {
                let text = "a program that answers once keeps no session";
                Err(Fault::new(Code::NotOffered, text))
            }
            Way::Shared(_) | Way::Exclusive(_) => {
                let (message, version) = self.greet(&id, exchange).await?;
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
        exchange: &Exchange<'_>,
    ) -> Result<(Bytes, Version), Fault> {
        let hello = match &self.way {
            Way::Exclusive(children) => children.hello().await?,
            Way::Shared(group) => group.hello().await?,
            Way::Session(_) | Way::Oneshot(_) => return Err(no_session()),
        };
        let version = hello.agree(wanted_version(exchange.message.params));
        Ok((hello.answer(id, version), version))
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
                let ticket = self.guard.admit()?;
                let child = nursery.take().await;
                ticket.end(match &child {
                    Ok(_) => Outcome::Success,
                    Err(_) => Outcome::Failure,
                });
                child.map(Some)
            }
            Way::Shared(_) | Way::Exclusive(_) => Ok(None),
            Way::Oneshot(_) => {
                let text = "a program that answers once keeps no session";
                Err(Fault::new(Code::NotOffered, text))
            }
        }
    }

    /// Sends a request to a child.
    ///
    /// # Errors
    ///
    /// The fault to answer with.
    pub async fn call(&self, raw_id: &str, exchange: &Exchange<'_>) -> Result<Call, Fault> {
        let token = wire::progress_token(exchange.message.params)
            .map_err(|reason| Fault::new(Code::BadMessage, reason))?;
        let owner = exchange
            .session
            .map_or(Owner::Nobody, |session| session.owner());
        let new_flight = |ticket| {
            let (id, token) = (RawId::new(raw_id), token.map(RawId::new));
            Flight::admitted(id, token, owner, exchange.accepts.stream, ticket)
        };
        let line = wire::single_line(exchange.body.clone());
        match &self.way {
            Way::Session(_) => {
                let child = exchange
                    .session
                    .and_then(|session| session.child())
                    .ok_or_else(no_session)?;
                let limit = self.options.max_in_flight;
                child
                    .call(new_flight(None), line, exchange.deadline, limit)
                    .await
            }
            Way::Oneshot(children) => {
                let flight = new_flight(Some(self.guard.admit()?));
                let called = children.call(flight.clone(), line, exchange.deadline).await;
                if let Err(fault) = &called {
                    flight.fail(fault.clone());
                }
                called
            }
            Way::Shared(_) | Way::Exclusive(_) => {
                let method = exchange.message.method().unwrap_or_default();
                if let "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" = method
                {
                    let text = format!(
                        "`{method}` would change what other clients get; it is offered in `session` mode"
                    );
                    return Err(Fault::new(Code::NotOffered, text));
                }
                let flight = new_flight(Some(self.guard.admit()?));
                let request = Request {
                    message: exchange.message,
                    line: &line,
                    id: raw_id,
                    token,
                };
                let called = match &self.way {
                    Way::Shared(group) => {
                        group
                            .call(flight.clone(), &request, exchange.deadline)
                            .await
                    }
                    Way::Exclusive(children) => {
                        children
                            .call(flight.clone(), &request, exchange.deadline)
                            .await
                    }
                    _ => Err(no_session()),
                };
                if let Err(fault) = &called {
                    flight.fail(fault.clone());
                }
                called
            }
        }
    }

    /// Passes on what no answer is expected to: a notification, or an answer to the child's question.
    ///
    /// # Errors
    ///
    /// The fault to answer with.
    pub async fn tell(&self, exchange: &Exchange<'_>) -> Result<(), Fault> {
        let cancelled = match exchange.message.method() {
            Some("notifications/cancelled") => wire::cancelled_request(exchange.message.params),
            _ => None,
        };
        let cancelled = cancelled.and_then(|named| RequestId::from_raw(named.request));
        match &self.way {
            Way::Session(_) => {
                let child = exchange
                    .session
                    .and_then(|session| session.child())
                    .ok_or_else(no_session)?;
                if let wire::Kind::Response { id, .. } = &exchange.message.kind
                    && !id
                        .and_then(RequestId::from_raw)
                        .is_some_and(|id| child.routes.take_asked(&id))
                {
                    // Late, or answered before: the child does not wait for it.
                    return Ok(());
                }
                child
                    .write(
                        wire::single_line(exchange.body.clone()),
                        self.options.request_timeout,
                    )
                    .await?;
                if let Some(id) = cancelled {
                    child.cancelled(&id);
                }
            }
            Way::Oneshot(_) => {}
            Way::Exclusive(children) => {
                if let (Some(id), Some(session)) = (cancelled, exchange.session) {
                    children.cancel(session.owner(), &id);
                }
            }
            Way::Shared(group) => {
                // Outside a session a request cannot be told from another client's with the same id.
                if let (Some(id), Some(session)) = (cancelled, exchange.session) {
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

    /// Whether a request that was lost with its child may be sent to another one: only what changes
    /// nothing, and only while there is a budget for it. A session's own child has no other.
    pub fn may_retry(&self, exchange: &Exchange<'_>) -> bool {
        let again = matches!(
            exchange.message.method(),
            Some(
                "ping"
                    | "tools/list"
                    | "prompts/list"
                    | "resources/list"
                    | "resources/templates/list"
                    | "resources/read"
                    | "prompts/get"
                    | "completion/complete"
                    | "server/discover"
            )
        );
        again
            && !matches!(self.way, Way::Session(_))
            && !exchange.deadline.left(Instant::now()).is_zero()
            && self.guard.may_retry()
    }

    /// Whether a request would be served, or why not.
    ///
    /// # Errors
    ///
    /// The reason.
    pub fn ready(&self) -> Result<(), String> {
        if self.guard.is_open() {
            return Err(String::from("the server failed too often lately"));
        }
        match &self.way {
            Way::Session(nursery) => nursery.ready(),
            Way::Exclusive(children) => children.ready(),
            Way::Oneshot(_) => Ok(()),
            Way::Shared(group) if group.is_ready() => Ok(()),
            Way::Shared(group) => Err(group.last_failure().map_or_else(
                || String::from("no server process is running"),
                |fault| fault.message,
            )),
        }
    }

    /// Ends overdue requests, gives up children that are dead or hang.
    pub fn sweep(&self, sessions: &SessionTable, now: Instant) {
        match &self.way {
            Way::Session(_) => {
                for _ in 0..sessions.expire(now) {
                    self.guard.count_ejected();
                }
            }
            Way::Exclusive(children) => children.sweep(now),
            Way::Oneshot(children) => children.sweep(now),
            Way::Shared(group) => group.sweep(now),
        }
    }

    /// Starts children in the background where fewer are ready than should be.
    pub fn fill(&self) {
        match &self.way {
            Way::Session(_) | Way::Exclusive(_) | Way::Oneshot(_) => {} // the pool does
            Way::Shared(group) => group.fill(),
        }
    }

    /// Takes no more requests.
    pub fn abandon(&self) {
        match &self.way {
            Way::Session(_) => {}
            Way::Exclusive(children) => children.abandon(),
            Way::Oneshot(children) => children.abandon(),
            Way::Shared(group) => group.abandon(),
        }
    }

    /// Ends every child that sessions do not own, and closes the pool.
    pub async fn close(&self, deadline: Duration) -> CloseReport {
        match &self.way {
            Way::Session(nursery) => nursery.close(deadline).await,
            Way::Exclusive(children) => children.close(deadline).await,
            Way::Oneshot(children) => children.close(deadline).await,
            Way::Shared(group) => group.close(deadline).await,
        }
    }
}

async fn relay_initialize(
    nursery: &Nursery,
    options: &ServeOptions,
    sessions: &SessionTable,
    id: RawId,
    exchange: &Exchange<'_>,
) -> Result<Initialized, Fault> {
    let child = nursery.take().await?;
    // Messages before the answer wait for the session's stream: there is no session yet to send them in.
    let flight = Flight::new(id, None, Owner::Nobody, false);
    let line = wire::single_line(exchange.body.clone());
    // A child may start slowly: the handshake has a time of its own.
    let patience = options.connect_timeout.max(options.request_timeout);
    let limits = Timeouts {
        request: patience,
        ..options.timeouts()
    };
    let mut call = child
        .call(
            flight,
            line,
            Deadline::new(&limits, Instant::now()),
            options.max_in_flight,
        )
        .await?;
    match tokio::time::timeout(patience, call.step()).await {
        Ok(Step::Answer {
            message,
            is_result: true,
        }) => {
            let version = answered_version(&message).unwrap_or(Version::LATEST);
            let session = sessions.begin(version, Some(child))?;
            Ok(Initialized {
                message,
                session: Some(session),
            })
        }
        Ok(Step::Answer { message, .. } | Step::Related(message)) => Ok(Initialized {
            message,
            session: None,
        }),
        Ok(Step::Fault(fault)) => Err(fault),
        Err(_) => Err(Fault::new(
            Code::TimedOut,
            "the server did not answer `initialize` in time; it was ended",
        )),
    }
}

fn no_session() -> Fault {
    Fault::new(
        Code::BadHeader,
        "`Mcp-Session-Id` is missing; send `initialize` first and then its session id with every request",
    )
}

#[derive(Deserialize)]
struct Versioned<'a> {
    #[serde(borrow, default, rename = "protocolVersion")]
    version: Option<std::borrow::Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Answered<'a> {
    #[serde(borrow)]
    result: Versioned<'a>,
}

fn wanted_version(params: Option<&str>) -> Option<Version> {
    Version::parse(
        &serde_json::from_str::<Versioned<'_>>(params?)
            .ok()?
            .version?,
    )
}

fn answered_version(answer: &[u8]) -> Option<Version> {
    Version::parse(
        &serde_json::from_slice::<Answered<'_>>(answer)
            .ok()?
            .result
            .version?,
    )
}
