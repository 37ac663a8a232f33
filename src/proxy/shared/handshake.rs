//! A child that was spoken to by the proxy first and may serve everybody.
//!
//! Promise: what comes out of [`Handshaken::start`] has answered; a start that fails or is dropped
//! leaves no process.

use crate::sync::Arc;
use std::pin::Pin;

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use super::era::{Era, EraMemory};
use super::hello::Hello;
use super::router::ChildRouter;
use super::wear::Wear;
use crate::proxy::call::{Call, Flight, Owner, Step};
use crate::proxy::http::{MODERN, Version};
use crate::proxy::options::{Mode, ServeOptions};
use crate::proxy::peer::{Peer, PeerSource};
use crate::proxy::wire::{self, Code, Fault, RawId, quote};
use crate::resilience::{Deadline, Timeouts};
use crate::{BoxError, PoolableResource};

/// The pooled resource of the modes that share.
pub struct Handshaken {
    /// The child, or the session with an upstream over HTTP.
    pub peer: Peer,
    /// Where its lines go.
    pub router: Arc<ChildRouter>,
    /// What it said of itself.
    pub hello: Arc<Hello>,
    /// How much of its life it has behind it.
    pub wear: Arc<Wear>,
}

impl Handshaken {
    /// Starts a child and asks it who it is; once more where it did not bear the first question. The pool's
    /// connect time-out bounds it.
    ///
    /// # Errors
    ///
    /// That of the start, or what was wrong with the child's answer.
    pub async fn start(
        source: &PeerSource,
        router: impl Fn() -> ChildRouter,
        options: &ServeOptions,
        eras: &EraMemory,
    ) -> Result<Self, BoxError> {
        let era = eras.get();
        let mut started = Self::start_one(source, router(), options, era).await;
        if let Err(Failed { bore: false, .. }) = started
            && era == Era::Unknown
        {
            started = Self::start_one(source, router(), options, Era::Legacy).await;
        }
        eras.set(match &started {
            Ok(started) if started.hello.is_modern => Era::Modern,
            Ok(_) => Era::Legacy,
            Err(_) => Era::Unknown,
        });
        started.map_err(|failed| failed.error)
    }

    async fn start_one(
        source: &PeerSource,
        router: ChildRouter,
        options: &ServeOptions,
        era: Era,
    ) -> Result<Self, Failed> {
        let peer = source.open().await?;
        let router = Arc::new(router);
        // In this order: a child that is dead already takes the writer away when it is attached.
        router.answer_by(peer.writer());
        peer.attach(router.clone());
        let start = Start {
            peer: &peer,
            router: &router,
            options,
        };
        let hello = start.greet(era).await?;
        if !hello.is_modern {
            router.set_legacy();
        } else if era == Era::Unknown && hello.offers_tools() {
            start.list_tools().await;
        }
        Ok(Self {
            peer,
            router,
            hello: Arc::new(hello),
            wear: Arc::new(Wear::begin()),
        })
    }
}

/// Why a child did not start.
struct Failed {
    error: BoxError,
    /// It was not `server/discover` that it went down with.
    bore: bool,
}

impl From<BoxError> for Failed {
    fn from(error: BoxError) -> Self {
        Self { error, bore: true }
    }
}

/// A child that is asked.
struct Start<'a> {
    peer: &'a Peer,
    router: &'a Arc<ChildRouter>,
    options: &'a ServeOptions,
}

impl Start<'_> {
    /// Asks it who it is, as this is known of children before it.
    async fn greet(&self, era: Era) -> Result<Hello, Failed> {
        let patience = match era {
            Era::Legacy => return Ok(self.initialize().await?),
            Era::Unknown => self.options.connect_timeout / 2,
            Era::Modern => self.options.connect_timeout,
        };
        let mut discovers = std::pin::pin!(self.discover());
        match timeout(patience, discovers.as_mut()).await {
            Ok(Ok(Some(hello))) => Ok(hello),
            Ok(Ok(None)) => Ok(self.initialize().await?),
            Ok(Err(gone)) => Err(Failed {
                error: gone.message.into(),
                bore: false,
            }),
            Err(_) => Ok(self.greet_slow(discovers).await?),
        }
    }

    /// A child that says nothing yet: it knows no such question, or is slow to come up. What it answers well first
    /// counts.
    async fn greet_slow(
        &self,
        mut discovers: Pin<&mut impl Future<Output = Result<Option<Hello>, Fault>>>,
    ) -> Result<Hello, BoxError> {
        let mut initializes = std::pin::pin!(self.initialize());
        tokio::select! {
            discovered = discovers.as_mut() => {
                let Ok(Some(hello)) = discovered else {
                    return initializes.await;
                };
                // It answers the other one as well, and what nobody waits for would be held against it.
                let _ = timeout(self.options.connect_timeout / 4, initializes).await;
                Ok(hello)
            }
            initialized = initializes.as_mut() => match initialized {
                Ok(hello) => Ok(hello),
                Err(refused) => match discovers.await {
                    Ok(Some(hello)) => Ok(hello),
                    _ => Err(refused),
                },
            },
        }
    }

    /// What it says to `server/discover`; `None`: it answers as older servers do.
    async fn discover(&self) -> Result<Option<Hello>, Fault> {
        let found = match self.ask(discover).await {
            Ok(answer) => Hello::discovered(&answer),
            // An older server over HTTP may refuse the request as a whole.
            Err(fault) if fault.code == Code::UpstreamRefused => None,
            Err(gone) => return Err(gone),
        };
        // Where each request has a child of its own a handshake serves clients of both kinds.
        let is_exclusive = self.options.mode == Mode::Exclusive;
        Ok(found.filter(|hello| !is_exclusive || !hello.knows_older()))
    }

    /// Learns which arguments of tools go into heads, before the first call may come.
    async fn list_tools(&self) {
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let page = self.ask(|id| list_tools(id, cursor.as_deref()));
            let Ok(Ok(answer)) = timeout(self.options.connect_timeout / 4, page).await else {
                return;
            };
            let Some(result) = wire::parse(&answer).ok().and_then(|answer| answer.result) else {
                return;
            };
            self.router.note_tools(result);
            cursor = next_cursor(result);
            if cursor.is_none() {
                return;
            }
        }
    }

    async fn initialize(&self) -> Result<Hello, BoxError> {
        let answer = self.ask(initialize).await;
        let answer = answer.map_err(|fault| fault.message)?;
        let hello = Hello::read(&answer).map_err(|reason| {
            format!("the server process does not speak MCP as needed: {reason}")
        })?;
        let initialized = Bytes::from_static(INITIALIZED);
        let patience = self.options.connect_timeout;
        let written = self.peer.writer().write(initialized, patience).await;
        written.map_err(|fault| fault.message)?;
        Ok(hello)
    }

    async fn ask(&self, question: impl FnOnce(u64) -> Bytes) -> Result<Bytes, Fault> {
        let flight = Flight::new(RawId::new("0"), None, Owner::Nobody, false);
        let id = self
            .router
            .flights
            .insert_beyond(&flight, self.patient())
            .map_err(|_| Fault::new(Code::ChildDied, "the server process ended at once"))?;
        let asked = Asked(self.router, id);
        let mut call = Call::new(flight);
        let patience = self.options.connect_timeout;
        self.peer.writer().write(question(id), patience).await?;
        let answer = match call.step().await {
            Step::Answer { message, .. } | Step::Related(message) => message,
            Step::Fault(fault) => return Err(fault),
        };
        drop(asked);
        Ok(answer)
    }

    /// The pool's own time-out is the one that counts.
    fn patient(&self) -> Deadline {
        let limits = Timeouts {
            request: self.options.connect_timeout,
            ..self.options.timeouts()
        };
        Deadline::new(&limits, Instant::now())
    }
}

/// A question whose place in the table is free again afterwards, answered or not.
struct Asked<'a>(&'a ChildRouter, u64);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.flights.take(self.1);
    }
}

const INITIALIZED: &[u8] = b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}";

fn initialize(id: u64) -> Bytes {
    let (version, own) = (Version::LATEST.as_str(), env!("CARGO_PKG_VERSION"));
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"initialize\",\"params\":{{\"protocolVersion\":\"{version}\",\
         \"capabilities\":{{}},\"clientInfo\":{{\"name\":\"plunge\",\"version\":\"{own}\"}}}}}}"
    )
    .into()
}

fn discover(id: u64) -> Bytes {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"server/discover\",\"params\":{{{}}}}}",
        meta()
    )
    .into()
}

/// Pages of a list of tools that are read.
const MAX_PAGES: usize = 20;

fn list_tools(id: u64, cursor: Option<&str>) -> Bytes {
    let cursor = cursor.map_or_else(String::new, |cursor| {
        format!("\"cursor\":{},", quote(cursor))
    });
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/list\",\"params\":{{{cursor}{}}}}}",
        meta()
    )
    .into()
}

#[derive(Deserialize)]
struct Paged {
    #[serde(default, rename = "nextCursor")]
    next: Option<String>,
}

fn next_cursor(result: &str) -> Option<String> {
    serde_json::from_str::<Paged>(result).ok()?.next
}

/// What each request of the revision without sessions carries.
fn meta() -> String {
    let own = env!("CARGO_PKG_VERSION");
    format!(
        "\"_meta\":{{\"io.modelcontextprotocol/protocolVersion\":\"{MODERN}\",\
         \"io.modelcontextprotocol/clientCapabilities\":{{}},\
         \"io.modelcontextprotocol/clientInfo\":{{\"name\":\"plunge\",\"version\":\"{own}\"}}}}"
    )
}

impl PoolableResource for Handshaken {
    fn is_healthy(&self) -> bool {
        self.peer.is_healthy() && !self.router.is_stained()
    }

    async fn close(self) {
        self.peer.close().await;
    }
}
