//! `exclusive` mode: a handshaken child for each request, returned after a clean answer.
//!
//! Promise: a child serves one request at a time; one that asked something, left a request unanswered or
//! wrote after its answer is not used again. The pool's line is the queue of those who wait. A session is served by
//! children whose handshake agreed on its revision. What carries something back goes to the child that made it, as soon as
//! that has no other request, or where that is gone to any.
//! Cost: an acquire and a release of the pool for each request.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::hellos::Hellos;
use super::kinds::Kinds;
use super::roster::{Roster, Seated};
use crate::proxy::call::{Call, Flight, Owner};
use crate::proxy::guard::{Guard, Recycled};
use crate::proxy::http::Version;
use crate::proxy::live::Live;
use crate::proxy::options::ServeOptions;
use crate::proxy::peer::{LastStart, PeerSource, none_free};
use crate::proxy::session::SessionTable;
use crate::proxy::shared::{
    Affinity, ChildRouter, EraMemory, Handshaken, Hello, Refused, Request, SharedChild, Waiting,
    Wanted, at_limit,
};
use crate::proxy::wire::{Code, Fault, RequestId};
use crate::resilience::Deadline;
use crate::sync::Arc;
use crate::{BoxError, CloseReport, OptionsError, PoolStats};

/// Children that may turn out to be dead under one request.
const MAX_TRIES: usize = 3;

/// The children and who has them.
pub struct Exclusive {
    kinds: Kinds,
    roster: Arc<Roster>,
    affinity: Arc<Affinity>,
    waiting: Waiting,
    options: Live,
    guard: Arc<Guard>,
    hellos: Arc<Hellos>,
    last_start: Arc<LastStart>,
}

impl Exclusive {
    /// A pool without children.
    ///
    /// # Errors
    ///
    /// That of the pool's options.
    pub fn new(
        source: &PeerSource,
        live: &Live,
        audience: &Arc<SessionTable>,
        guard: &Arc<Guard>,
    ) -> Result<Self, BoxError> {
        let options = live.get();
        let last_start = Arc::<LastStart>::default();
        let hellos = Arc::<Hellos>::default();
        let affinity = Arc::<Affinity>::default();
        let roster = Arc::<Roster>::default();
        let factory = {
            let (source, live, audience) = (source.clone(), live.clone(), audience.clone());
            let (last_start, hellos) = (last_start.clone(), hellos.clone());
            let eras = Arc::new(EraMemory::new(Wanted::Any));
            let (affinity, roster) = (affinity.clone(), Arc::downgrade(&roster));
            move |asked: &Version| {
                let (source, options) = (source.clone(), live.whole());
                let (limits, audience, eras) = (options.timeouts(), audience.clone(), eras.clone());
                let (affinity, roster) = (affinity.clone(), roster.clone());
                let router = move || {
                    let router = ChildRouter::of_one(limits, audience.clone());
                    router.noting(Some(affinity.clone()))
                };
                let (last_start, hellos, asked) = (last_start.clone(), hellos.clone(), *asked);
                async move {
                    let start = Handshaken::start(&source, router, &options, &eras, asked);
                    let mut started = last_start.of(start).await?;
                    hellos.note(asked, started.hello.clone());
                    if let Some(roster) = roster.upgrade() {
                        roster.enrol(asked, &mut started);
                    }
                    Ok::<_, BoxError>(started)
                }
            }
        };
        let kinds = Kinds::new(&options, factory)?;
        roster.watch(kinds.all());
        Ok(Self {
            kinds,
            roster,
            affinity,
            waiting: Waiting::default(),
            options: live.clone(),
            guard: guard.clone(),
            hellos,
            last_start,
        })
    }

    /// Sends a request to a child of its own, of the revision that its client speaks.
    ///
    /// # Errors
    ///
    /// [`Code::NoChild`], [`Code::Busy`], [`Code::Closing`], the fault of the write, or [`Code::SessionEnded`] where the
    /// server does not speak what it agreed on with the session any more.
    pub async fn call(
        &self,
        flight: Arc<Flight>,
        request: &Request<'_>,
        wanted: Version,
        mut deadline: Deadline,
    ) -> Result<Call, Fault> {
        let mut died = 0;
        let mut made_by = self
            .affinity
            .child_of(request.message.params, Instant::now());
        loop {
            let seated = match made_by.take() {
                Some(key) => self.take_known(key, wanted, &flight, deadline).await?,
                None => None,
            };
            let (child, place) = match seated {
                Some(seated) => seated,
                None => self.take(wanted, &flight, deadline).await?,
            };
            if flight.owner != Owner::Nobody && !child.hello().speaks(wanted) {
                if !self.is_spoken(wanted) {
                    return Err(spoken_no_more(wanted));
                }
                child.retire(); // another release of the server has taken its place
                continue;
            }
            self.count_use(&child);
            // Before the write: dropped in the middle of it, the request still ends and lets go.
            flight.hold(Box::new(place));
            deadline.again(&self.options.get().timeouts(), Instant::now());
            match child.call(&flight, request, deadline).await {
                Ok(called) => return called,
                Err(Refused::Never(fault)) => return Err(fault),
                Err(Refused::Over(fault)) if died + 1 == MAX_TRIES => return Err(fault.not_run()),
                Err(_) => died += 1,
            }
            // Before another one is waited for, which may need its place.
            flight.hold(Box::new(()));
        }
    }

    /// The child of this name, as soon as it has no other request; `None`: it is gone, or not to be used again.
    async fn take_known(
        &self,
        key: u64,
        wanted: Version,
        flight: &Arc<Flight>,
        deadline: Deadline,
    ) -> Result<Option<Seated>, Fault> {
        let asked = self.hellos.to_ask(wanted);
        let Some(turn) = self.roster.await_child(key, asked) else {
            return Ok(None);
        };
        self.roster.serve(key);
        let turn = timeout(deadline.left(Instant::now()), turn);
        // Another one could only say that it does not know what the request carries back.
        let turn = async { turn.await.map_err(|_| at_limit()) };
        Ok(Box::pin(self.waiting.wait(flight, turn)).await?.ok())
    }

    /// A child for this request, unless it is cancelled before there is one.
    async fn take(
        &self,
        wanted: Version,
        flight: &Arc<Flight>,
        deadline: Deadline,
    ) -> Result<Seated, Fault> {
        let pool = self.kinds.of(self.hellos.to_ask(wanted));
        let lease = match pool.try_acquire() {
            Ok(lease) => lease,
            Err(_) => {
                let lease = pool.acquire_timeout(self.patience(deadline));
                let lease = async { lease.await.map_err(none_free) };
                Box::pin(self.waiting.wait(flight, lease)).await?
            }
        };
        Ok(self.roster.enter(SharedChild::new(lease)))
    }

    /// Has a child that had all its uses with this one not used again.
    fn count_use(&self, child: &SharedChild) {
        let most = self.options.get().max_uses;
        if most.is_some_and(|most| child.is_last_use(most)) {
            child.retire();
            self.guard.count_recycled(Recycled::Uses);
        }
    }

    /// Who needs a new child waits as long as its start may take; nobody beyond the end of the call.
    fn patience(&self, deadline: Deadline) -> Duration {
        let stats = self.kinds.stats();
        let options = self.options.get();
        // Those that are idle are of another revision, or they would be had.
        let busy = stats.open.saturating_sub(stats.connecting + stats.idle);
        let patience = if busy < options.children() {
            options.acquire_timeout.max(options.connect_timeout)
        } else {
            options.acquire_timeout
        };
        patience.min(deadline.left(Instant::now()))
    }

    /// Changes limits and times; a child that runs keeps those of its handshake.
    ///
    /// # Errors
    ///
    /// A limit above the ceiling.
    pub fn tune(&self, options: &ServeOptions) -> Result<(), OptionsError> {
        self.kinds.tune(options)?;
        self.options.set(options.clone());
        Ok(())
    }

    /// Starts the first child.
    ///
    /// # Errors
    ///
    /// Why it cannot be started.
    pub async fn warm(&self) -> Result<(), Fault> {
        if self.options.get().min_idle == 0 {
            let endless = Deadline::endless(Instant::now());
            return self.hello(Version::LATEST, endless).await.map(drop);
        }
        // An acquire would open a child beside those that the pool opens by itself.
        let favoured = self.kinds.favoured();
        favoured.wait_ready().await.map_err(none_free)
    }

    /// What children say to a client that wants this revision, waiting no longer than to the whole of this deadline.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub async fn hello(&self, wanted: Version, deadline: Deadline) -> Result<Arc<Hello>, Fault> {
        if let Some(hello) = self.known(wanted) {
            return Ok(hello);
        }
        let pool = self.kinds.of(self.hellos.to_ask(wanted));
        let lease = pool.acquire_timeout(self.patience(deadline));
        Ok(lease.await.map_err(none_free)?.hello.clone())
    }

    /// The same, if some child said it.
    pub fn known(&self, wanted: Version) -> Option<Arc<Hello>> {
        self.hellos.known(self.hellos.to_ask(wanted))
    }

    /// Whether the children that were started last for clients of this revision speak it.
    fn is_spoken(&self, version: Version) -> bool {
        self.known(version)
            .is_some_and(|hello| hello.speaks(version))
    }

    /// Keeps children ready of the revision that a client wants, which is the last one that came.
    pub fn favour(&self, wanted: Version) {
        self.kinds.favour(self.hellos.to_ask(wanted));
    }

    /// Ends what waits for a request and is older than that: a server that forgot one session forgot those, too.
    pub fn forget_older(&self, age: Duration) {
        self.kinds.retain(|_, of| of.age < age);
    }

    /// Passes a cancellation on to the child that has the request, or will have it no more.
    pub fn cancel(&self, owner: Owner, request: &RequestId) {
        self.waiting.cancel(owner, request);
        for child in self.children() {
            child.cancel(owner, request);
        }
    }

    /// Ends overdue requests, whose children are not used again, and gives up children that are idle and hang.
    pub fn sweep(&self, now: Instant) {
        for child in self.children() {
            child.expire(now);
        }
        for _ in 0..self.roster.sweep(now) {
            self.guard.count_ejected();
        }
    }

    /// The children that have a request.
    pub fn children(&self) -> Vec<Arc<SharedChild>> {
        self.roster.busy()
    }

    /// Whether a request would get a child, as far as is known.
    ///
    /// # Errors
    ///
    /// The reason why not.
    pub fn ready(&self) -> Result<(), String> {
        let stats = self.kinds.stats();
        let is_empty = stats.open == stats.connecting;
        match stats.last_connect_error {
            Some(error) if is_empty && self.last_start.fails(&self.options.get()) => Err(error),
            _ => Ok(()),
        }
    }

    /// The pool's figures.
    pub fn pool_stats(&self) -> PoolStats {
        self.kinds.stats()
    }

    /// Ends what is in flight.
    pub fn abandon(&self) {
        for child in self.children() {
            child.end(Fault::new(Code::Closing, "the proxy is shutting down"));
        }
    }

    /// Ends what is in flight and closes the pool.
    pub async fn close(&self, deadline: Duration) -> CloseReport {
        self.abandon();
        self.kinds.close(deadline).await
    }
}

/// The refusal of a request in a session whose revision the server spoke once.
fn spoken_no_more(version: Version) -> Fault {
    let version = version.as_str();
    let text = format!(
        "the server does not speak protocol version {version} any more; initialize a new session"
    );
    Fault::new(Code::SessionEnded, text)
}
