//! The heads of a client's requests in HTTP/1.1, read before hyper reads them.
//!
//! Promise: a head that did not pass, or did not come in time, is replaced by one that ends the connection, in its
//! turn: answers to requests before it are not cut off. A connection on which a head was begun is not idle. What asks an
//! upstream in HTTP/1.1 for another protocol is told to ask on a connection of its own.
//! Cost: a timer for a head that comes in parts.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Sleep, sleep};

use super::pulse::{Busy, Pulse};
use super::sieve::{Judge, Judged};
use crate::proxy::plain::access::Entry;
use crate::proxy::plain::head::{Terms, parse_request};
use crate::proxy::plain::refusal::{self, Refusal};
use crate::proxy::plain::shared::Shared;
use crate::proxy::plain::wire::Outbox;
use crate::sync::{Arc, AtomicU32, Mutex, Ordering};

/// What stands for a head that did not pass, and for one whose answer has no body.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";
const STAND_IN_FOR_HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// The reader.
pub struct Requests {
    peer: String,
    shared: Arc<Shared>,
    verdict: Arc<Verdict>,
    pulse: Arc<Pulse>,
    begun: Option<Begun>,
}

/// A head of which a part came.
struct Begun {
    _busy: Busy,
    late: Pin<Box<Sleep>>,
}

/// What was refused, for whoever answers.
#[derive(Default)]
pub struct Verdict {
    /// Heads that went through, the one that stands for the refused one included.
    heads: AtomicU32,
    answered: AtomicU32,
    refused: Mutex<Option<Refused>>,
}

/// A head that did not pass.
pub struct Refused {
    pub refusal: Refusal,
    /// Its line in the log.
    pub entry: Option<Entry>,
}

impl Verdict {
    /// What the next request, one after the other, is refused for.
    pub fn next(&self) -> Option<Refused> {
        // Relaxed, both: written and read by tasks of one thread.
        let number = self.answered.fetch_add(1, Ordering::Relaxed) + 1;
        match number == self.heads.load(Ordering::Relaxed) {
            true => self.refused.lock().take(),
            false => None,
        }
    }

    fn passes(&self) {
        // Relaxed: as above.
        self.heads.fetch_add(1, Ordering::Relaxed);
    }

    /// Refuses what begins with these bytes.
    fn refuses(&self, refusal: Refusal, bytes: &[u8], entry: Option<Entry>) -> Judged {
        *self.refused.lock() = Some(Refused { refusal, entry });
        self.passes();
        Judged::StandIn(match bytes.starts_with(b"HEAD ") {
            true => STAND_IN_FOR_HEAD,
            false => STAND_IN,
        })
    }
}

impl Requests {
    /// Those of a client's connection.
    pub fn new(
        peer: String,
        shared: Arc<Shared>,
        verdict: Arc<Verdict>,
        pulse: Arc<Pulse>,
    ) -> Self {
        Self {
            peer,
            shared,
            verdict,
            pulse,
            begun: None,
        }
    }
}

impl Judge for Requests {
    fn judge(&mut self, bytes: &[u8]) -> io::Result<Option<Judged>> {
        let rules = self.shared.rules();
        let terms = Terms {
            peer: &self.peer,
            limits: &rules.limits,
            table: &rules.routes,
        };
        match parse_request(bytes, &terms, &mut Outbox::take()) {
            Ok(None) => {
                self.begun.get_or_insert_with(|| {
                    let mut busy = self.pulse.begin();
                    busy.answered();
                    Begun {
                        _busy: busy,
                        late: Box::pin(sleep(rules.client_head)),
                    }
                });
                Ok(None)
            }
            // Hyper passes no other protocol on; a fresh connection, which goes there straight, does.
            Ok(Some(request)) if request.upgrade && !request.route.upstream.options.h2 => {
                self.begun = None;
                let entry = Entry::of_head(rules.log.as_ref(), bytes, Some(&request));
                let refused = self.verdict.refuses(refusal::MISDIRECTED, bytes, entry);
                Ok(Some(refused))
            }
            Ok(Some(request)) => {
                self.verdict.passes();
                Ok(Some(Judged::Head {
                    bytes: request.head_bytes,
                    then: request.framing,
                }))
            }
            Err(refusal) => {
                self.begun = None;
                let entry = Entry::of_head(rules.log.as_ref(), bytes, None);
                Ok(Some(self.verdict.refuses(refusal, bytes, entry)))
            }
        }
    }

    fn poll_late(&mut self, bytes: &[u8], context: &mut Context<'_>) -> Poll<Judged> {
        let Some(begun) = &mut self.begun else {
            return Poll::Pending;
        };
        ready!(begun.late.as_mut().poll(context));
        self.begun = None;
        let entry = Entry::of_head(self.shared.rules().log.as_ref(), bytes, None);
        Poll::Ready(self.verdict.refuses(refusal::SLOW_CLIENT, bytes, entry))
    }

    /// From here on the request itself is what is under way.
    fn went_on(&mut self) {
        self.begun = None;
    }
}
