//! What sessions are subscribed to, asked of shared children once for all of them.
//!
//! Promise: the first session on a resource has a child asked, whose answer it gets; an error leaves nothing
//! behind. Further ones are answered at once, the last one's end is told to the child. Where the child dies or
//! makes way, another one is asked for what it had, as long as it takes for one to be there, and the sessions are
//! told once that it changed, for nobody can say what was missed. A child that need not tell of a resource, or may
//! though it did not say so, is asked once not to; its word does not count meanwhile, nor after.
//! Cost: a look at every resource in each sweep, under one lock.

use std::time::Duration;

use tokio::time::Instant;

use super::child::Request;
use super::counted::Counted;
use super::errand::Errand;
use super::group::Group;
use crate::proxy::call::{Answer, Call, Flight, Owner};
use crate::proxy::seed::seed;
use crate::proxy::session::{Extent, Pauses, Session, Topic};
use crate::proxy::wire::{self, Code, Fault, RawId};
use crate::resilience::{Backoff, Deadline};
use crate::sync::{Arc, Mutex, Ordering};

/// The longest pause before a child is asked again, at first and at last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long a child has to answer that it tells no more. Nobody waits for it but who may want the resource again.
const HUSHED_WITHIN: Duration = Duration::from_secs(2);
/// Tasks that ask at a time.
const MAX_SETTLING: usize = 16;
/// Requests of clients under way, those of clients that left included.
const MAX_ERRANDS: usize = 1024;

impl Group {
    /// Whether clients may subscribe to resources: where each has a session.
    pub fn shares_resources(&self) -> bool {
        self.affinity.is_none()
    }

    /// How much sessions are subscribed to; `None`: they cannot be.
    pub fn extent(&self) -> Option<Extent> {
        self.shares_resources()
            .then(|| self.subscribers().extent(&self.keys()))
    }

    /// Subscribes a session to a resource.
    ///
    /// # Errors
    ///
    /// [`Code::BadParams`], [`Code::Busy`] at a bound, [`Code::SessionEnded`], [`Code::Closing`].
    pub fn subscribe(
        self: &Arc<Self>,
        session: &Session,
        front: &Arc<Flight>,
        request: &Request<'_>,
        deadline: Deadline,
    ) -> Result<Call, Fault> {
        let uri = named(request)?;
        let counted = self.errand_counted()?;
        let (topic, claim) = self.subscribers().enter(session, &uri, pauses())?;
        let errand = Errand::new(topic, front, deadline, counted);
        // What a client that leaves must not stop halfway.
        self.carry_on(errand.subscribe(session.key, claim))?;
        Ok(Call::new(front.clone()))
    }

    /// Takes a session's subscription back.
    ///
    /// # Errors
    ///
    /// [`Code::BadParams`], [`Code::Closing`].
    pub fn unsubscribe(
        self: &Arc<Self>,
        session: &Session,
        front: &Arc<Flight>,
        request: &Request<'_>,
        deadline: Deadline,
    ) -> Result<Call, Fault> {
        let uri = named(request)?;
        let counted = self.errand_counted()?;
        let Some(topic) = self.subscribers().leave(session.key, &uri) else {
            front.answer(settled(front));
            return Ok(Call::new(front.clone()));
        };
        let errand = Errand::new(topic, front, deadline, counted);
        self.carry_on(errand.unsubscribe())?;
        Ok(Call::new(front.clone()))
    }

    fn errand_counted(self: &Arc<Self>) -> Result<Counted, Fault> {
        let counted = Counted::begin(self, |subscribers| &subscribers.errands);
        // Relaxed: a bound, and whoever exceeds it has counted itself before.
        if self.subscribers().errands.load(Ordering::Relaxed) > MAX_ERRANDS {
            let text = "too many requests about resources are under way; try again later";
            return Err(Fault::new(Code::Busy, text));
        }
        Ok(counted)
    }

    /// Has children asked for what is subscribed to and has none, and told what nobody needs of them any more.
    pub(super) fn settle(self: &Arc<Self>) {
        // Relaxed: a bound on tasks; one that ended just now is counted in the next sweep.
        let busy = self.subscribers().settling.load(Ordering::Relaxed);
        if self.is_closed() || busy >= MAX_SETTLING || self.subscribers().is_empty() {
            return;
        }
        let due = self.subscribers().due(&self.keys(), Instant::now());
        let tasks = due.len().min(MAX_SETTLING - busy);
        let due = Arc::new(Mutex::new(due));
        for _ in 0..tasks {
            let settling = Counted::begin(self, |subscribers| &subscribers.settling);
            let due = due.clone();
            self.tasks.spawn(async move {
                while let Some(topic) = { due.lock().pop() } {
                    settling.group.settle_one(&topic).await;
                }
            });
        }
    }

    async fn settle_one(self: &Arc<Self>, topic: &Arc<Topic>) {
        // Who has the turn sees to it.
        let Ok(mut turn) = topic.turn.clone().try_lock_owned() else {
            return;
        };
        if !self.subscribers().release(topic) {
            self.ask_again(topic, &mut turn).await;
        }
        self.hush_others(topic).await;
        self.subscribers().forget(topic);
    }

    /// Asks another child where the one that told of it serves no more.
    async fn ask_again(self: &Arc<Self>, topic: &Arc<Topic>, pauses: &mut Pauses) {
        // Where nobody told of it yet, the client that waits for its turn asks.
        let is_lost = self.subscribers().holder(topic).is_some() && !self.is_held(topic);
        if !is_lost || self.subscribers().is_early(topic, Instant::now()) {
            return;
        }
        // One that agrees and goes at once is no better than one that refuses.
        match pauses.agreed.take() {
            Some(agreed) if agreed.elapsed() < PAUSES.1 => return self.pause(topic, pauses),
            Some(_) => pauses.backoff.succeed(),
            None => {}
        }
        let deadline = Deadline::new(&self.options.get().timeouts(), Instant::now());
        let asked = self.ask(topic, deadline, own_flight);
        if asked.await.is_ok_and(|answer| answer.is_result) {
            pauses.agreed = Some(Instant::now());
            self.subscribers().pause(topic, None);
        } else {
            self.pause(topic, pauses);
        }
    }

    fn pause(&self, topic: &Arc<Topic>, pauses: &mut Pauses) {
        let until = Instant::now() + pauses.backoff.fail();
        self.subscribers().pause(topic, Some(until));
    }

    /// Asks those that may tell of a resource, and need not, to stop. For who has the turn: so none of them is asked
    /// for it again before that.
    async fn hush_others(self: &Arc<Self>, topic: &Arc<Topic>) {
        for key in self.subscribers().others(topic) {
            if let Some(child) = self.living(key) {
                let mut limits = self.options.get().timeouts();
                limits.overall = limits.overall.min(HUSHED_WITHIN);
                let deadline = Deadline::new(&limits, Instant::now());
                let hushed = self.hush(&child, topic, own_flight(), deadline);
                if hushed.await.is_none() {
                    continue; // it has no room now: in the next sweep
                }
            }
            self.subscribers().acquit(topic, key);
        }
    }
}

/// The answer of the proxy itself, which says nothing of the upstream.
pub(super) fn settled(front: &Flight) -> Answer {
    front.excuse();
    let id = front.id.as_bytes();
    let line = [b"{\"jsonrpc\":\"2.0\",\"id\":", id, b",\"result\":{}}"].concat();
    Answer::own(line.into(), true)
}

/// What goes to a child for nobody.
fn own_flight() -> Arc<Flight> {
    Flight::new(RawId::new("0"), None, Owner::Nobody, false)
}

fn named(request: &Request<'_>) -> Result<String, Fault> {
    let uri = wire::resource_uri(request.message.params);
    let uri = uri.map(std::borrow::Cow::into_owned);
    uri.ok_or_else(|| {
        let text = "`params.uri` is missing or no string; name the resource, once";
        Fault::new(Code::BadParams, text)
    })
}

fn pauses() -> Backoff {
    Backoff::new(PAUSES.0, PAUSES.1, seed())
}
