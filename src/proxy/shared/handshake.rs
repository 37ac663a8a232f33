//! A child that was spoken to by the proxy first and may serve everybody.
//!
//! Promise: what comes out of [`Handshaken::start`] has answered; a start that fails or is dropped
//! leaves no process. A child that starts slowly is not taken for an older one by that.

use crate::sync::Arc;
use std::pin::{Pin, pin};

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::era::{Era, EraMemory, Wanted};
use super::hello::Hello;
use super::pulse::Pulse;
use super::questions::{self, INITIALIZED, MAX_PAGES};
use super::router::{ChildRouter, SEND_AGAIN};
use super::wear::Wear;
use crate::proxy::call::{Call, Flight, Owner, Step};
use crate::proxy::http::{MODERN, Version};
use crate::proxy::options::{Mode, ServeOptions};
use crate::proxy::peer::{Peer, PeerSource};
use crate::proxy::wire::{self, Code, Fault, GATEKEEPERS, RawId};
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
    /// Whether it shows signs of life.
    pub pulse: Arc<Pulse>,
    /// What ends with it.
    pub kept: Option<Box<dyn Send + Sync>>,
}

impl Handshaken {
    /// Starts a child and asks it who it is; once more where it did not bear the first question, or refused the
    /// revision that a handshake asked it for: then for the latest. The pool's connect time-out bounds it.
    ///
    /// # Errors
    ///
    /// That of the start, what was wrong with the child's answer, or that it is none of those that are wanted.
    pub async fn start(
        source: &PeerSource,
        router: impl Fn() -> ChildRouter,
        options: &ServeOptions,
        eras: &EraMemory,
        version: Version,
    ) -> Result<Self, BoxError> {
        match Self::start_as(source, &router, options, eras, version).await {
            Err(Failed::Declined(_)) if version != Version::LATEST => {
                let latest = Version::LATEST;
                Ok(Self::start_as(source, &router, options, eras, latest).await?)
            }
            started => Ok(started?),
        }
    }

    async fn start_as(
        source: &PeerSource,
        router: &impl Fn() -> ChildRouter,
        options: &ServeOptions,
        eras: &EraMemory,
        version: Version,
    ) -> Result<Self, Failed> {
        let known = eras.get(Instant::now());
        if known == Era::Legacy && eras.wanted() == Wanted::Modern {
            return Err(Failed::Unwanted);
        }
        let start = async |known| {
            let asked = (known, version);
            Self::start_one(source, router(), options, eras, asked).await
        };
        let mut started = start(known).await;
        if matches!(started, Err(Failed::Unborne(_))) && known == Era::Unknown {
            if eras.wanted() == Wanted::Any {
                // Kept even if the time for this start runs out: then the next one does not ask.
                eras.suppose_legacy(Instant::now());
            }
            started = start(Era::Legacy).await;
            match started {
                // Where nobody wants such a child nothing is supposed that was not seen.
                Ok(_) if eras.wanted() == Wanted::Modern => eras.suppose_legacy(Instant::now()),
                Ok(_) => {}
                Err(_) => eras.disprove_legacy(),
            }
        }
        let started = started?;
        match eras.wanted() {
            Wanted::Modern if !started.hello.is_modern => Err(Failed::Unwanted),
            _ => Ok(started),
        }
    }

    async fn start_one(
        source: &PeerSource,
        router: ChildRouter,
        options: &ServeOptions,
        eras: &EraMemory,
        (known, version): (Era, Version),
    ) -> Result<Self, Failed> {
        let peer = source.open().await.map_err(Failed::Other)?;
        let router = Arc::new(router);
        // In this order: a child that is dead already takes the writer away when it is attached.
        router.answer_by(peer.writer());
        peer.attach(router.clone());
        let start = Start {
            peer: &peer,
            router: &router,
            options,
            wanted: eras.wanted(),
            version,
        };
        let asked = eras.ask();
        let greeted = start.greet(known).await;
        if !matches!(greeted, Err(Failed::Unborne(_))) {
            asked.answered();
        }
        let Greeted { hello, is_proven } = greeted.inspect_err(|failed| match failed {
            Failed::Unwanted => eras.set(Era::Legacy),
            Failed::Refused(_) => eras.set(Era::Modern),
            _ if known == Era::Legacy => eras.disprove_legacy(), // it may be another one by now
            _ => {}
        })?;
        match known {
            _ if hello.is_modern => eras.set(Era::Modern),
            Era::Legacy => {}
            _ if is_proven => eras.set(Era::Legacy),
            _ => eras.suppose_legacy(Instant::now()),
        }
        if !hello.is_modern {
            router.set_legacy(hello.lists());
        } else if known == Era::Unknown && hello.offers_tools() {
            // What is slow here is not to keep the child from serving.
            let _ = timeout(options.connect_timeout / 4, start.list_tools()).await;
        }
        Ok(Self {
            peer,
            router,
            hello: Arc::new(hello),
            wear: Arc::new(Wear::begin()),
            pulse: Arc::new(Pulse::new(options.probe)),
            kept: None,
        })
    }
}

/// Why a start failed.
enum Failed {
    /// The child ended over the question for the revision without sessions.
    Unborne(String),
    /// It speaks older revisions, and those are not wanted.
    Unwanted,
    /// It speaks the revision without sessions, and refused the question.
    Refused(String),
    /// It refused the handshake, or agreed on what is not spoken here.
    Declined(String),
    /// Anything else.
    Other(BoxError),
}

impl From<Failed> for BoxError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Unborne(text) | Failed::Declined(text) => text.into(),
            Failed::Unwanted => "the server speaks revisions with a handshake only".into(),
            Failed::Refused(error) => format!(
                "the server speaks {MODERN} or later, but refused `server/discover`: {error}"
            )
            .into(),
            Failed::Other(error) => error,
        }
    }
}

/// What a child said of itself.
struct Greeted {
    hello: Hello,
    /// It was asked for the revision without sessions, and answered.
    is_proven: bool,
}

/// What `server/discover` led to.
enum Found {
    /// It speaks the revision without sessions.
    Modern(Hello),
    /// It answered otherwise.
    Older,
    /// It refused the request as a whole.
    Refused,
    /// Nothing that says either.
    Nothing,
}

/// A child that is asked.
struct Start<'a> {
    peer: &'a Peer,
    router: &'a Arc<ChildRouter>,
    options: &'a ServeOptions,
    wanted: Wanted,
    /// What a handshake asks it for.
    version: Version,
}

impl Start<'_> {
    /// Asks it who it is, in the way of the revision that is known of it.
    async fn greet(&self, known: Era) -> Result<Greeted, Failed> {
        let discover = || self.ask(questions::discover);
        let found = match known {
            Era::Legacy => Found::Nothing,
            Era::Modern => match self.found(discover().await)? {
                // It is not taken for an older one without its word.
                Found::Nothing => {
                    return Err(Failed::Unborne("the server was not to be asked".into()));
                }
                found => found,
            },
            Era::Unknown => {
                let mut asked = pin!(discover());
                let patience = self.options.connect_timeout / 2;
                match timeout(patience, &mut asked).await {
                    Ok(answered) => self.found(answered)?,
                    Err(_) => return self.greet_both_ways(asked).await,
                }
            }
        };
        self.greet_as(found).await
    }

    async fn greet_as(&self, found: Found) -> Result<Greeted, Failed> {
        let (hello, is_proven) = match found {
            Found::Modern(hello) => (hello, true),
            Found::Older if self.wanted == Wanted::Modern => return Err(Failed::Unwanted),
            Found::Older | Found::Refused => (self.initialize().await?, true),
            Found::Nothing => (self.initialize().await?, false),
        };
        Ok(Greeted { hello, is_proven })
    }

    /// Asks a child the older way that did not answer the question yet, which stays open: it may start slowly.
    async fn greet_both_ways(
        &self,
        mut asked: Pin<&mut impl Future<Output = Result<Bytes, Fault>>>,
    ) -> Result<Greeted, Failed> {
        let mut older = pin!(self.initialize());
        tokio::select! {
            biased; // it was asked first: what answers in turn has answered by now, if it ever does
            answered = &mut asked => match self.found(answered)? {
                Found::Modern(hello) => {
                    // Its refusal is not to come under the first request.
                    let _ = timeout(self.options.connect_timeout / 8, older).await;
                    Ok(Greeted { hello, is_proven: true })
                }
                found => {
                    let is_proven = matches!(found, Found::Older | Found::Refused);
                    Ok(Greeted { hello: older.await?, is_proven })
                }
            },
            greeted = &mut older => match greeted {
                Ok(hello) => Ok(Greeted { hello, is_proven: false }),
                Err(refused) => match self.found(asked.await)? {
                    Found::Modern(hello) => Ok(Greeted { hello, is_proven: true }),
                    _ => Err(refused),
                },
            },
        }
    }

    /// What an answer to `server/discover` says.
    fn found(&self, answered: Result<Bytes, Fault>) -> Result<Found, Failed> {
        let answer = match answered {
            Ok(answer) => answer,
            // An older server over HTTP may refuse the request as a whole.
            Err(fault) if fault.code == Code::UpstreamRefused => {
                return Ok(match is_of_server(&fault) {
                    true => Found::Refused,
                    false => Found::Nothing,
                });
            }
            Err(fault) if matches!(fault.code, Code::ChildDied | Code::UpstreamFailed) => {
                return Err(Failed::Unborne(fault.message));
            }
            Err(fault) => return Err(Failed::Other(fault.message.into())),
        };
        if let Some(error) = Hello::refusal(&answer) {
            return Err(Failed::Refused(error));
        }
        // Where each request has a child of its own a handshake serves clients of both kinds.
        let takes_older = self.options.mode == Mode::Exclusive;
        let hello =
            Hello::discovered(&answer).filter(|hello| !(takes_older && hello.knows_older()));
        Ok(hello.map_or(Found::Older, Found::Modern))
    }

    /// Learns which arguments of tools go into heads, before the first call may come.
    async fn list_tools(&self) -> Option<()> {
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let page = self.ask(|id| questions::list_tools(id, cursor.as_deref()));
            let answer = page.await.ok()?;
            let result = wire::parse(&answer).ok()?.result?;
            self.router.note_tools(result);
            cursor = Some(questions::next_cursor(result)?);
        }
        None
    }

    async fn initialize(&self) -> Result<Hello, Failed> {
        let failed = |text: String| Failed::Other(text.into());
        let question = |id| questions::initialize(id, self.version);
        let answer = self.ask(question).await;
        let answer = answer.map_err(|fault| match is_of_server(&fault) {
            true => Failed::Declined(fault.message),
            false => failed(fault.message),
        })?;
        let hello = Hello::read(&answer).map_err(|reason| {
            Failed::Declined(format!(
                "the server process does not speak MCP as needed: {reason}"
            ))
        })?;
        let initialized = Bytes::from_static(INITIALIZED);
        let patience = self.options.connect_timeout;
        let written = self.peer.writer().write(initialized, patience).await;
        written.map_err(|fault| failed(self.told(fault).message))?;
        Ok(hello)
    }

    async fn ask(&self, question: impl FnOnce(u64) -> Bytes) -> Result<Bytes, Fault> {
        let flight = Flight::new(RawId::new("0"), None, Owner::Nobody, false);
        let id = self
            .router
            .flights
            .insert_beyond(&flight, self.patient())
            .map_err(|_| {
                self.told(Fault::new(
                    Code::ChildDied,
                    "the server process ended at once",
                ))
            })?;
        let asked = Asked(self, id);
        let mut call = Call::new(flight);
        let patience = self.options.connect_timeout;
        let written = self.peer.writer().write(question(id), patience).await;
        written.map_err(|fault| self.told(fault))?;
        let answer = match call.step().await {
            Step::Answer { message, .. } | Step::Related(message) => message,
            Step::Fault(fault) => return Err(self.told(fault)),
        };
        drop(asked);
        Ok(answer)
    }

    /// What helps where it ended: nobody has sent a request yet who could send it again.
    fn told(&self, mut fault: Fault) -> Fault {
        if fault.code == Code::ChildDied {
            let what = fault.message.trim_end_matches(SEND_AGAIN);
            let remedy = match self.peer {
                Peer::Child(_) => "; the log has its standard error; run its command by hand",
                Peer::Remote(_) => "",
            };
            fault.message = format!("{what}{remedy}");
        }
        fault
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

/// Whether a server over HTTP refused a question as a whole, and not who keeps its door.
fn is_of_server(fault: &Fault) -> bool {
    fault.code == Code::UpstreamRefused && !GATEKEEPERS.contains(&fault.status())
}

/// A question whose place in the table is free again afterwards, answered or not.
struct Asked<'a>(&'a Start<'a>, u64);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let Self(start, id) = *self;
        if start.router.flights.take(id).is_some() {
            start.peer.give_up(id);
        }
    }
}

impl PoolableResource for Handshaken {
    fn is_healthy(&self) -> bool {
        self.peer.is_healthy() && !self.router.is_stained() && !self.pulse.has_stopped()
    }

    async fn close(self) {
        drop(self.kept);
        if self.pulse.has_stopped() {
            // It reads nothing: there is no use in asking it to end.
            return self.peer.kill();
        }
        self.peer.close().await;
    }
}
