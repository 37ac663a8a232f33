//! How the requests of clients reach a child, by mode.

use crate::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use super::call::{Call, Flight, Owner, Step};
use super::http::{Accepts, Version};
use super::options::{Mode, ServeOptions, Upstream};
use super::session::{Nursery, Session, SessionTable};
use super::shared::{Group, Request};
use super::tasks::Tasks;
use super::wire::{self, Code, Envelope, Fault, RawId, RequestId};
use crate::{BoxError, CloseReport};

/// The way to the children.
pub enum Backend {
    /// A child a session.
    Session(Nursery),
    /// Few children for everybody.
    Shared(Arc<Group>),
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
        Ok(match options.mode {
            Mode::Session => Self::Session(Nursery::new(command, options, tasks)?),
            Mode::Shared => Self::Shared(Group::new(command, options, sessions, tasks)?),
        })
    }

    /// Starts the first child.
    ///
    /// # Errors
    ///
    /// Why it cannot be started.
    pub async fn warm(&self) -> Result<(), Fault> {
        match self {
            Self::Session(nursery) => nursery.warm().await,
            Self::Shared(group) => group.warm().await,
        }
    }

    /// Answers a client's `initialize`.
    ///
    /// # Errors
    ///
    /// The fault to answer with.
    pub async fn initialize(
        &self,
        options: &ServeOptions,
        sessions: &SessionTable,
        id: RawId,
        exchange: &Exchange<'_>,
    ) -> Result<Initialized, Fault> {
        match self {
            Self::Session(nursery) => {
                relay_initialize(nursery, options, sessions, id, exchange).await
            }
            Self::Shared(group) => {
                let hello = group.hello().await?;
                let version = hello.agree(wanted_version(exchange.message.params));
                let session = sessions.begin(version, None)?;
                Ok(Initialized {
                    message: hello.answer(&id, version),
                    session: Some(session),
                })
            }
        }
    }

    /// Sends a request to a child.
    ///
    /// # Errors
    ///
    /// The fault to answer with.
    pub async fn call(
        &self,
        options: &ServeOptions,
        raw_id: &str,
        exchange: &Exchange<'_>,
    ) -> Result<Call, Fault> {
        let token = wire::progress_token(exchange.message.params)
            .map_err(|reason| Fault::new(Code::BadMessage, reason))?;
        let owner = exchange
            .session
            .map_or(Owner::Nobody, |session| session.owner());
        let flight = Flight::new(
            RawId::new(raw_id),
            token.map(RawId::new),
            owner,
            exchange.accepts.stream,
        );
        let line = wire::single_line(exchange.body.clone());
        match self {
            Self::Session(_) => {
                let child = exchange
                    .session
                    .and_then(|session| session.child())
                    .ok_or_else(no_session)?;
                let patience = options.request_timeout.min(options.response_timeout);
                child
                    .call(flight, line, patience, options.max_in_flight)
                    .await
            }
            Self::Shared(group) => {
                let method = exchange.message.method().unwrap_or_default();
                if let "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" = method
                {
                    let text = format!(
                        "`{method}` would change what other clients get; it is offered in `session` mode"
                    );
                    return Err(Fault::new(Code::NotOffered, text));
                }
                group
                    .call(
                        flight,
                        &Request {
                            message: exchange.message,
                            line: &line,
                            id: raw_id,
                            token,
                        },
                    )
                    .await
            }
        }
    }

    /// Passes on what no answer is expected to: a notification, or an answer to the child's question.
    ///
    /// # Errors
    ///
    /// The fault to answer with.
    pub async fn tell(&self, options: &ServeOptions, exchange: &Exchange<'_>) -> Result<(), Fault> {
        let cancelled = match exchange.message.method() {
            Some("notifications/cancelled") => wire::cancelled_request(exchange.message.params),
            _ => None,
        };
        let cancelled = cancelled.and_then(|named| RequestId::from_raw(named.request));
        match self {
            Self::Session(_) => {
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
                        options.request_timeout,
                    )
                    .await?;
                if let Some(id) = cancelled {
                    child.cancelled(&id);
                }
            }
            Self::Shared(group) => {
                // Outside a session a request cannot be told from another client's with the same id.
                if let (Some(id), Some(session)) = (cancelled, exchange.session) {
                    group.cancel(session.owner(), &id);
                }
            }
        }
        Ok(())
    }

    /// Whether a request would be served, or why not.
    ///
    /// # Errors
    ///
    /// The reason.
    pub fn ready(&self) -> Result<(), String> {
        match self {
            Self::Session(nursery) => nursery.ready(),
            Self::Shared(group) if group.is_ready() => Ok(()),
            Self::Shared(group) => Err(group.last_failure().map_or_else(
                || String::from("no server process is running"),
                |fault| fault.message,
            )),
        }
    }

    /// Ends every child that sessions do not own, and closes the pool.
    pub async fn close(&self, deadline: Duration) -> CloseReport {
        match self {
            Self::Session(nursery) => nursery.close(deadline).await,
            Self::Shared(group) => group.close(deadline).await,
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
    let mut call = child
        .call(flight, line, patience, options.max_in_flight)
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
