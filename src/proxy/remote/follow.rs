//! A stream of the upstream, read over as many connections as it takes.
//!
//! Promise: after a break it goes on behind the last event, which is not passed on twice; one connection
//! reads at a time.

use bytes::Bytes;
use hyper::{Method, StatusCode};
use tokio::time::{Instant, sleep, timeout};

use std::time::Duration;

use super::ask::{UNKNOWN, answered, fault_of};
use super::core::{Core, Place};
use super::head::{self, Media};
use super::outgoing::Outgoing;
use super::subscription;
use crate::proxy::seed::seed;
use crate::proxy::wire::{self, Code, Fault, RequestId, subscription::Known};
use crate::transport::http::{HttpBody, HttpRequest};
use crate::transport::sse::{Reconnect, SseEvent, SseParser};

/// How long the end of a stream is waited for behind its answer: then its connection can be used again.
const PATIENCE: Duration = Duration::from_secs(1);

/// One stream.
pub struct Follower<'a> {
    core: &'a Core,
    /// When it comes back.
    pub policy: Reconnect,
    /// The request that it is to answer.
    id: Option<&'a RequestId>,
    greets: bool,
    /// The event behind which it went on, until something else came.
    resumed: Option<String>,
    subscription: Option<Known>,
}

/// Why a stream was read no further.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// The answer came.
    Answered,
    /// The connection ended before.
    Lost,
    /// An event is longer than what is taken.
    TooLong,
}

/// What asking for a stream led to.
pub enum Opened {
    /// It is there.
    Stream(HttpBody),
    /// Not now; a later try may help.
    Later,
    /// The upstream does not offer it.
    Never(StatusCode),
    /// The session is over.
    Over,
}

/// Brings the events of a request's stream up to its answer.
///
/// # Errors
///
/// The fault of a stream that broke off and cannot be gone on with.
pub async fn to_answer(
    place: &Place,
    body: HttpBody,
    greets: bool,
    message: &Outgoing,
) -> Result<(), Fault> {
    let mut follower = Follower::new(&place.core, Some(&place.id), greets);
    follower.subscription = subscription::of(message);
    let mut body = body;
    loop {
        match follower.read(body).await {
            End::Answered => return Ok(()),
            End::TooLong => {
                let text = "the upstream sent an event that is too long";
                return Err(Fault::new(Code::UpstreamFailed, text));
            }
            End::Lost if follower.subscription.is_some() => {
                match subscription::again(&mut follower, place, message).await? {
                    Some(again) => body = again,
                    None => return Ok(()),
                }
                continue;
            }
            // The revision without sessions knows no coming back.
            End::Lost if message.names_revision || follower.policy.last_id().is_none() => {
                return Err(broken());
            }
            End::Lost => {}
        }
        body = loop {
            let Some(pause) = follower.policy.lost(Instant::now()) else {
                return Err(broken());
            };
            sleep(pause).await;
            match follower.open().await {
                Opened::Stream(body) => break body,
                Opened::Later => {}
                Opened::Never(_) => return Err(broken()),
                // Who sent it may have been left to learn that here.
                Opened::Over => return Err(broken()),
            }
        };
    }
}

/// The fault of a stream that is given up.
pub fn broken() -> Fault {
    let text = "the upstream's stream broke off before the answer and cannot be resumed";
    Fault::new(Code::ChildDied, text)
}

/// Whether a refusal may be another one soon.
pub fn is_passing(status: StatusCode) -> bool {
    let waits = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::REQUEST_TIMEOUT,
        // It has not seen yet that the stream broke.
        StatusCode::CONFLICT,
    ];
    waits.contains(&status) || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}

/// Passes on a message, or several in an array; tells whether one answers the request.
pub fn pass_on(core: &Core, text: Bytes, id: Option<&RequestId>, greets: bool) -> bool {
    let items = if wire::is_batch(&text) {
        wire::batch_items(&text).unwrap_or_default()
    } else {
        vec![text]
    };
    let mut is_answered = false;
    for item in items {
        let looks = id.is_some() || core.has_one_stream();
        let answers = looks.then(|| meant_for(&item)).flatten();
        let is_answer = id.is_some() && answers.as_ref() == id;
        if is_answer && greets {
            core.agreed(&item);
        }
        is_answered |= is_answer;
        if let (None, Some(answers)) = (id, &answers) {
            // In this order: whatever becomes of its post, it is no fault of a later one with the same id.
            core.answered(answers);
        }
        core.say(wire::single_line(item), id);
    }
    is_answered
}

/// The request that a message answers, be it so that nobody can read it: nothing else will.
fn meant_for(message: &[u8]) -> Option<RequestId> {
    answered(message).or_else(|| {
        let error = wire::parse(message).err()?;
        wire::broken_answer(message, &error).map(|(id, _)| id)
    })
}

impl<'a> Follower<'a> {
    /// A stream that was never open.
    pub fn new(core: &'a Core, id: Option<&'a RequestId>, greets: bool) -> Self {
        Self {
            policy: Reconnect::new(core.source.reconnect, seed()),
            core,
            id,
            greets,
            resumed: None,
            subscription: None,
        }
    }

    /// Reads one connection's part of it.
    pub async fn read(&mut self, body: HttpBody) -> End {
        self.policy.opened(Instant::now());
        let parser = SseParser::new(self.core.source.max_message);
        self.read_on(body, parser).await
    }

    /// Reads what follows on what this parser has read.
    pub async fn read_on(&mut self, mut body: HttpBody, mut parser: SseParser) -> End {
        let mut pushed = Ok(());
        loop {
            let mut answered = false;
            while let Some(event) = parser.next() {
                answered |= self.take(event);
            }
            if answered {
                self.finish(body, parser).await;
                return End::Answered;
            }
            if pushed.is_err() {
                self.pass_over(parser.id());
                return End::TooLong;
            }
            let Some(Ok(piece)) = body.next().await else {
                return End::Lost;
            };
            pushed = parser.push(&piece);
        }
    }

    /// Goes on behind an event that is not taken, for it would come again: behind its id, or else from now on.
    fn pass_over(&mut self, id: Option<&str>) {
        let id = id.filter(|id| self.policy.last_id() != Some(id));
        self.go_on_behind(id.unwrap_or_default());
    }

    /// Goes on from now on; tells whether it was to be behind some event.
    pub fn forget_place(&mut self) -> bool {
        let was_behind = self.policy.last_id().is_some();
        self.go_on_behind("");
        was_behind
    }

    fn go_on_behind(&mut self, id: &str) {
        self.policy.event(&SseEvent {
            id: Some(id.to_owned()),
            ..SseEvent::default()
        });
    }

    /// Reads what is left behind the answer.
    async fn finish(&mut self, mut body: HttpBody, mut parser: SseParser) {
        let rest = async {
            while let Some(Ok(piece)) = body.next().await {
                if parser.push(&piece).is_err() {
                    return;
                }
                while let Some(event) = parser.next() {
                    self.take(event);
                }
            }
        };
        let _ = timeout(PATIENCE, rest).await;
    }

    /// Takes an event; tells whether it answers the request.
    fn take(&mut self, event: SseEvent) -> bool {
        let repeated = self.resumed.is_some() && self.resumed == event.id;
        self.policy.event(&event);
        let is_empty = event.data.is_empty();
        // Only the first, be it empty: those behind it that have no id of their own are read with this one.
        if repeated || !is_empty {
            self.resumed = None;
        }
        if repeated || is_empty {
            return false;
        }
        let subscription = self.subscription.as_mut();
        if let Some(missed) = subscription.and_then(|known| known.missed(event.data.as_bytes())) {
            for change in missed {
                self.core.say(change, self.id);
            }
            return false;
        }
        if !matches!(event.event.as_str(), "" | "message") {
            return false;
        }
        pass_on(self.core, event.data.into(), self.id, self.greets)
    }

    /// Asks for the stream: behind the last event, or from now on.
    pub async fn open(&mut self) -> Opened {
        let names = self.core.names();
        let last = self.policy.last_id();
        let request = HttpRequest {
            method: Method::GET,
            headers: head::of_get(&self.core.source.headers, &names, last),
            body: Bytes::new(),
        };
        self.resumed = last.map(str::to_owned);
        let answer = match self.core.source.client.send(&request).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(text = fault_of(&error).message, "a stream was not opened");
                return Opened::Later;
            }
        };
        let status = answer.status();
        if status.is_success() && head::media(answer.headers()) == Media::Events {
            return Opened::Stream(answer.into_body());
        }
        match status {
            StatusCode::NOT_FOUND if names.session.is_some() => {
                self.core.lose(UNKNOWN);
                Opened::Over
            }
            _ if is_passing(status) => Opened::Later,
            _ => Opened::Never(status),
        }
    }
}
