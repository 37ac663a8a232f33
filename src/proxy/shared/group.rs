//! The shared children of one upstream.
//!
//! Promise: a request goes to the child with the least to do; one more child is started while all are
//! busy and the limit allows it; a dead child is replaced by the next request at the latest. A request
//! that was not written is tried on another child, one that was is not. How children that work make way for
//! others is in `renewal`.
//! Cost: a read lock and a look at every child (a handful).

use crate::sync::Arc;
use crate::sync::{AtomicBool, Ordering};
use std::time::Duration;

use crate::sync::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::affinity::Affinity;
use super::child::{Request, SharedChild};
use super::era::{Era, EraMemory, Wanted};
use super::flights::Refused;
use super::handshake::Handshaken;
use super::hello::Hello;
use super::router::ChildRouter;
use super::starting::most_open;
use super::subscription::subscribe;
use super::waiting::Waiting;
use crate::proxy::call::{Call, Flight, Manner, Owner};
use crate::proxy::guard::Guard;
use crate::proxy::http::Version;
use crate::proxy::live::Live;
use crate::proxy::options::{Mode, ServeOptions};
use crate::proxy::peer::PeerSource;
use crate::proxy::session::{SessionTable, Subscribers};
use crate::proxy::tasks::Tasks;
use crate::proxy::watching::TRACE;
use crate::proxy::wire::{Code, Fault, RequestId};
use crate::resilience::Deadline;
use crate::{BoxError, CloseReport, OptionsError, Pool, PoolOptions, PoolStats};

/// Requests in flight on the least busy child that make the group start another one.
const CROWDED: usize = 8;
/// Children that may turn out to be dead under one request.
const MAX_TRIES: usize = 3;
/// A child that lived shorter is not replaced before somebody needs it: it would only die again.
const LIVED: Duration = Duration::from_secs(1);

/// A child for a request.
pub(super) struct Picked {
    pub(super) child: Arc<SharedChild>,
    /// It gets the request whatever it had before.
    pub(super) anyway: bool,
}

/// The children and how they come into service.
pub struct Group {
    pub(super) pool: Pool<Handshaken>,
    /// Those in service. Locked before the next, where both are.
    pub(super) children: Mutex<Vec<Arc<SharedChild>>>,
    /// Those that get nothing new and end what they have.
    pub(super) leaving: Mutex<Vec<Arc<SharedChild>>>,
    pub(super) waiting: Waiting,
    pub(super) starting: AtomicBool,
    closed: AtomicBool,
    /// Counts the starts that ended; holds what the last one failed of, and when.
    pub(super) starts: watch::Sender<(u64, Option<(Fault, Instant)>)>,
    pub(super) freed: Arc<Notify>,
    pub(super) tasks: Tasks,
    pub(super) options: Live,
    pub(super) guard: Arc<Guard>,
    pub(super) affinity: Option<Arc<Affinity>>,
    audience: Arc<SessionTable>,
    eras: Arc<EraMemory>,
}

impl Group {
    /// A group without children.
    ///
    /// # Errors
    ///
    /// That of the pool's options.
    pub fn new(
        source: &PeerSource,
        live: &Live,
        audience: &Arc<SessionTable>,
        tasks: &Tasks,
        guard: &Arc<Guard>,
        wanted: Wanted,
    ) -> Result<Arc<Self>, BoxError> {
        let options = live.get();
        let eras = Arc::new(EraMemory::new(wanted));
        let freed = Arc::new(Notify::new());
        let stateless = options.mode == Mode::Stateless;
        let affinity = stateless.then(|| Arc::new(Affinity::default()));
        let factory = {
            let (source, live, audience) = (source.clone(), live.clone(), audience.clone());
            let (freed, affinity) = (freed.clone(), affinity.clone());
            let eras = eras.clone();
            move || {
                let (source, options, eras) = (source.clone(), live.whole(), eras.clone());
                let (limit, limits) = (options.max_in_flight, options.timeouts());
                let listening = options.listening();
                let (audience, freed, affinity) =
                    (audience.clone(), freed.clone(), affinity.clone());
                let router = move || {
                    let router = ChildRouter::new(limit, limits, audience.clone(), freed.clone());
                    router.noting(affinity.clone()).listening_to(listening)
                };
                async move {
                    let latest = Version::LATEST;
                    Handshaken::start(&source, router, &options, &eras, latest).await
                }
            }
        };
        let pool = PoolOptions::new()
            .max_connections(most_open(&options))
            .max_connections_ceiling(2 * options.ceiling())
            .connect_timeout(options.connect_timeout)
            // Only the group itself acquires, to start a child: it waits as long as that may take.
            .acquire_timeout(options.connect_timeout + options.acquire_timeout)
            .connect_with(factory)?;
        Ok(Arc::new(Self {
            pool,
            children: Mutex::default(),
            leaving: Mutex::default(),
            waiting: Waiting::default(),
            starting: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            starts: watch::Sender::new((0, None)),
            freed,
            tasks: tasks.clone(),
            options: live.clone(),
            guard: guard.clone(),
            affinity,
            audience: audience.clone(),
            eras,
        }))
    }

    /// Sends a request to the child with the least to do; a subscription outlives it.
    ///
    /// # Errors
    ///
    /// [`Code::NoChild`], [`Code::Busy`], [`Code::Closing`], or the fault of the write.
    pub async fn call(
        self: &Arc<Self>,
        flight: Arc<Flight>,
        request: &Request<'_>,
        deadline: Deadline,
    ) -> Result<Call, Fault> {
        if flight.manner == Manner::Listening {
            return Box::pin(subscribe(self, flight, request.line.clone())).await;
        }
        self.call_child(flight, request, deadline).await
    }

    /// Sends anything to one child.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub async fn call_child(
        self: &Arc<Self>,
        flight: Arc<Flight>,
        request: &Request<'_>,
        mut deadline: Deadline,
    ) -> Result<Call, Fault> {
        let mut died = 0;
        let mut knows = self.knowing(request);
        loop {
            let (Picked { child, anyway }, alone_knows) = match knows.take() {
                Some(child) => (
                    Picked {
                        child,
                        anyway: true,
                    },
                    true,
                ),
                None => (self.ready_for(&flight, deadline).await?, false),
            };
            let most = self.options.get().max_uses.filter(|_| !anyway);
            if !anyway && !self.use_up(&child, most) {
                continue; // it is picked no more
            }
            deadline.again(&self.options.get().timeouts(), Instant::now());
            let refused = match child.call(&flight, request, deadline).await {
                Ok(called) => return called,
                Err(refused) => refused,
            };
            if most.is_some() {
                child.wear.give_back();
            }
            match refused {
                // Another one could only say that it does not know what the request carries back.
                Refused::Full if alone_knows => return Err(at_limit()),
                Refused::Full => {}
                Refused::Never(fault) => return Err(fault),
                Refused::Over(fault) => {
                    self.dismiss(&child);
                    died += 1;
                    if died == MAX_TRIES {
                        return Err(fault.not_run());
                    }
                }
            }
        }
    }

    /// The child that made what the request carries back.
    fn knowing(&self, request: &Request<'_>) -> Option<Arc<SharedChild>> {
        let key = self
            .affinity
            .as_ref()?
            .child_of(request.message.params, Instant::now())?;
        let children = self.children().into_iter();
        let mut alive = children.filter(|child| child.is_alive());
        alive.find(|child| child.key() == key)
    }

    /// What the children say of themselves, if some child is there.
    pub fn known(&self) -> Option<Arc<Hello>> {
        self.least_busy().map(|child| child.hello().clone())
    }

    /// Whether the server is known to speak revisions with a handshake only.
    pub fn is_older(&self) -> bool {
        self.eras.get(Instant::now()) == Era::Legacy
    }

    /// The least busy child that has room; starts another one where that is crowded.
    pub(super) fn pick(self: &Arc<Self>) -> Option<Picked> {
        // By its own limit: another one may be on its way to it.
        let child = self.least_busy_of(|child| child.has_room() && !child.is_worn());
        if child.as_ref().is_none_or(|child| child.load() >= CROWDED) {
            self.start_one();
        }
        self.or_worn(child)
    }

    /// The child with the fewest subscriptions, whatever else it has to do.
    pub(super) fn pick_quietest(self: &Arc<Self>) -> Option<Picked> {
        let quietest = {
            let children = self.children.lock();
            let may = |child: &&Arc<SharedChild>| child.is_alive() && !child.is_worn();
            let quietest = children.iter().filter(may);
            quietest.min_by_key(|child| child.listening()).cloned()
        };
        self.or_worn(quietest)
    }

    fn or_worn(&self, fresh: Option<Arc<SharedChild>>) -> Option<Picked> {
        let picked = fresh.map(|child| Picked {
            child,
            anyway: false,
        });
        picked.or_else(|| self.worn_one())
    }

    pub(super) fn least_busy(&self) -> Option<Arc<SharedChild>> {
        self.least_busy_of(|_| true)
    }

    pub(super) fn least_busy_of(
        &self,
        which: impl Fn(&SharedChild) -> bool,
    ) -> Option<Arc<SharedChild>> {
        let children = self.children.lock();
        children
            .iter()
            .filter(|child| child.is_alive() && which(child))
            .min_by_key(|child| child.load())
            .cloned()
    }

    /// Tells when subscriptions are to end.
    pub fn closing(&self) -> watch::Receiver<u64> {
        self.audience.listeners.closing()
    }

    /// Who is subscribed to resources.
    pub fn subscribers(&self) -> &Subscribers {
        &self.audience.subscribers
    }

    /// Has a client's request go on in a task, as a part of its trace.
    ///
    /// # Errors
    ///
    /// [`Code::Closing`].
    pub(super) fn carry_on(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Result<AbortHandle, Fault> {
        let trace = TRACE.try_with(Clone::clone).ok();
        let task = self.tasks.spawn_abortable(async move {
            match trace {
                Some(trace) => TRACE.scope(trace, task).await,
                None => task.await,
            }
        });
        task.ok_or_else(Fault::closing)
    }

    /// Changes limits and times.
    ///
    /// # Errors
    ///
    /// A limit above the ceiling.
    pub fn tune(&self, options: &ServeOptions) -> Result<(), OptionsError> {
        self.pool.tune(|tuning| {
            tuning.max_connections = most_open(options);
            tuning.connect_timeout = options.connect_timeout;
            tuning.acquire_timeout = options.connect_timeout + options.acquire_timeout;
        })?;
        self.options.set(options.clone());
        for child in self.children() {
            child.tune(options);
        }
        self.freed.notify_waiters();
        Ok(())
    }

    /// Starts the first child and waits for it; the others that are kept ready follow.
    ///
    /// # Errors
    ///
    /// Why it could not be started.
    pub async fn warm(self: &Arc<Self>) -> Result<(), Fault> {
        let endless = Deadline::endless(Instant::now());
        self.hello(endless).await.map(drop)
    }

    /// Passes a cancellation on to the child that has the request, or will have it no more.
    pub fn cancel(&self, owner: Owner, request: &RequestId) {
        self.waiting.cancel(owner, request);
        for child in self.children() {
            child.cancel(owner, request); // an id that was used twice may be on several
        }
    }

    /// Ends overdue requests, lets dead children go and replaces them.
    pub fn sweep(self: &Arc<Self>, now: Instant) {
        // Those that leave, too: they may have what only they know, and hang.
        for child in self.children() {
            child.expire(now);
            if child.is_alive() && child.probe(now) {
                tracing::warn!(
                    pid = ?child.pid(),
                    "a server process does not answer and is ended"
                );
                self.guard.count_ejected();
            }
            if !child.is_alive() {
                let lived = now.duration_since(child.since) >= LIVED;
                if self.dismiss(&child) && lived {
                    self.start_one();
                }
            }
        }
        self.renew(now);
        self.settle();
    }

    /// The children in service.
    pub(super) fn serving(&self) -> Vec<Arc<SharedChild>> {
        self.children.lock().clone()
    }

    /// All that have anything to do, those that leave included.
    pub fn children(&self) -> Vec<Arc<SharedChild>> {
        let mut children = self.serving();
        children.extend(self.leaving.lock().iter().cloned());
        children
    }

    /// Whether a request would find a child, or have one started: where none is kept ready, as far as is known.
    pub fn is_ready(&self) -> bool {
        let options = self.options.get();
        let has_failed = || {
            let starts = self.starts.borrow();
            let failed = starts.1.as_ref().map(|failed| failed.1);
            failed.is_some_and(|failed| failed.elapsed() < options.lately())
        };
        self.least_busy().is_some() || (options.min_idle == 0 && !has_failed())
    }

    /// Why the last start failed, if it did.
    pub fn last_failure(&self) -> Option<Fault> {
        let failed = &self.starts.borrow().1;
        failed.as_ref().map(|failed| failed.0.clone())
    }

    /// The pool's figures.
    pub fn pool_stats(&self) -> PoolStats {
        self.pool.stats()
    }

    pub(super) fn is_closed(&self) -> bool {
        // Acquire: pairs with the Release in `close`.
        self.closed.load(Ordering::Acquire)
    }

    /// Lets every child go and closes the pool.
    pub async fn close(&self, deadline: Duration) -> CloseReport {
        self.abandon();
        self.pool.close(deadline).await
    }

    /// Lets every child go and takes no more requests.
    pub fn abandon(&self) {
        let children = {
            let mut children = self.children.lock();
            // Release: pairs with the Acquire in `is_closed`.
            self.closed.store(true, Ordering::Release);
            let mut all = std::mem::take(&mut *children);
            all.append(&mut self.leaving.lock());
            all
        };
        for child in &children {
            child.end(Fault::new(Code::Closing, "the proxy is shutting down"));
        }
        drop(children);
        self.freed.notify_waiters();
    }
}

/// The refusal of a request that only those could serve who have no room for it.
pub fn at_limit() -> Fault {
    let text = "every server process that could serve this is at its limit of requests; try again";
    Fault::new(Code::Busy, text)
}
