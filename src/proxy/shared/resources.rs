//! What sessions are subscribed to, asked of shared children once for all of them.
//!
//! Promise: the first session on a resource has a child asked, whose answer it gets; an error leaves nothing
//! behind. Further ones are answered at once, the last one's end is told to the child. Where the child dies or
//! makes way, another one is asked for what it had, as long as it takes for one to be there, and the sessions are
//! told once that it changed, for nobody can say what was missed. A client that goes away stops none of it halfway.
//! Cost: a task for each request; a look at every resource in each sweep, under one lock.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::MutexGuard;
use tokio::time::{Instant, timeout_at};

use super::child::{Request, SharedChild};
use super::counted::Counted;
use super::flights::Refused;
use super::group::Group;
use crate::proxy::call::{Answer, Call, Flight, Owner, Step};
use crate::proxy::session::{Holder, Pauses, Session, Topic};
use crate::proxy::wire::{self, Code, Envelope, Fault, Kind, RawId};
use crate::resilience::{Backoff, Deadline};
use crate::sync::{Arc, Mutex, Ordering};

/// The longest pause before a child is asked again, at first and at last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Tasks that ask at a time.
const MAX_SETTLING: usize = 16;
/// Requests of clients under way, those of clients that left included.
const MAX_ERRANDS: usize = 1024;
/// Children that a request may meet on their way out.
const MAX_TRIES: usize = 3;

/// A client's request about a resource.
struct Errand {
    group: Arc<Group>,
    topic: Arc<Topic>,
    /// The client's side.
    front: Arc<Flight>,
    /// Of the proxy's own: a client's may be of any length, and this may outlive the client.
    line: Bytes,
    deadline: Deadline,
    _counted: Counted,
}

impl Group {
    /// Whether clients may subscribe to resources: where each has a session.
    pub fn shares_resources(&self) -> bool {
        self.affinity.is_none()
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
        let errand = self.errand(topic, front, "subscribe", deadline, counted);
        let key = session.key;
        self.run(front, errand.subscribe(key, claim))
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
        let errand = self.errand(topic, front, "unsubscribe", deadline, counted);
        self.run(front, errand.unsubscribe())
    }

    fn errand(
        self: &Arc<Self>,
        topic: Arc<Topic>,
        front: &Arc<Flight>,
        what: &str,
        deadline: Deadline,
        counted: Counted,
    ) -> Errand {
        Errand {
            group: self.clone(),
            line: own_line(what, &topic.uri),
            topic,
            front: front.clone(),
            deadline,
            _counted: counted,
        }
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

    /// Runs to its end what a client that leaves must not stop halfway.
    fn run(
        &self,
        front: &Arc<Flight>,
        errand: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Call, Fault> {
        let call = Call::new(front.clone());
        let task = self.tasks.spawn_abortable(errand);
        task.ok_or_else(|| Fault::new(Code::Closing, "the proxy is shutting down"))?;
        Ok(call)
    }

    /// Has children asked for what is subscribed to and has none, and told what nobody is subscribed to any more.
    pub(super) fn settle(self: &Arc<Self>) {
        // Relaxed: a bound on tasks; one that ended just now is counted in the next sweep.
        let busy = self.subscribers().settling.load(Ordering::Relaxed);
        if self.is_closed() || busy >= MAX_SETTLING {
            return;
        }
        let serving = || self.serving().iter().map(|child| child.key()).collect();
        let due = self.subscribers().due(serving);
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
        if self.subscribers().is_vacant(topic) {
            return self.let_go(topic).await;
        }
        let is_early = turn.until.is_some_and(|until| Instant::now() < until);
        if is_early || self.is_held(topic) {
            return;
        }
        // One that agrees and goes at once is no better than one that refuses.
        match turn.agreed.take() {
            Some(agreed) if agreed.elapsed() < PAUSES.1 => {
                turn.until = Some(Instant::now() + turn.backoff.fail());
                return;
            }
            Some(_) => turn.backoff.succeed(),
            None => {}
        }
        let deadline = Deadline::new(&self.options.get().timeouts(), Instant::now());
        let line = own_line("subscribe", &topic.uri);
        let asked = self.ask(topic, &line, deadline, own_flight);
        if asked.await.is_ok_and(|answer| answer.is_result) {
            (turn.until, turn.agreed) = (None, Some(Instant::now()));
        } else {
            turn.until = Some(Instant::now() + turn.backoff.fail());
        }
    }

    /// Tells the child that nobody is subscribed any more. For who has the turn.
    async fn let_go(self: &Arc<Self>, topic: &Arc<Topic>) {
        let holder = self.subscribers().holder(topic);
        if let Some(child) = holder.and_then(|holder| self.living(holder.child)) {
            let line = own_line("unsubscribe", &topic.uri);
            let deadline = Deadline::new(&self.options.get().timeouts(), Instant::now());
            if self
                .tell(&child, &line, own_flight(), deadline)
                .await
                .is_none()
            {
                return; // it has no room now: in the next sweep
            }
        }
        self.subscribers().hold(topic, None);
        self.subscribers().forget(topic);
    }

    /// Asks some child for a resource, and notes who agreed. For who has the turn.
    async fn ask(
        self: &Arc<Self>,
        topic: &Arc<Topic>,
        line: &Bytes,
        deadline: Deadline,
        flight: impl Fn() -> Arc<Flight>,
    ) -> Result<Answer, Fault> {
        let message = wire::parse(line).map_err(|_| unread())?;
        let request = request_of(&message, line)?;
        let mut tries = 1;
        loop {
            match self.ask_one(topic, &request, flight(), deadline).await {
                // What may have killed a child is not given to the next.
                Err(fault) if fault.not_run && tries < MAX_TRIES => tries += 1,
                asked => return asked,
            }
        }
    }

    async fn ask_one(
        self: &Arc<Self>,
        topic: &Arc<Topic>,
        request: &Request<'_>,
        flight: Arc<Flight>,
        deadline: Deadline,
    ) -> Result<Answer, Fault> {
        let (child, call) = self.give(flight, request, deadline).await?;
        let answered = drive(call).await;
        let holder = |is_sure| Holder {
            child: child.key(),
            is_sure,
        };
        match &answered {
            Ok(answer) if answer.is_result => self.moved(topic, holder(true)),
            // It may have agreed after all; it is told once nobody is left.
            Err(_) if self.subscribers().holder(topic).is_none() => {
                self.subscribers().hold(topic, Some(holder(false)));
            }
            _ => {}
        }
        answered
    }

    /// Gives a request to the child with the least to do. That is no use of it: what each successor is asked for
    /// again would wear it out at once.
    async fn give(
        self: &Arc<Self>,
        flight: Arc<Flight>,
        request: &Request<'_>,
        mut deadline: Deadline,
    ) -> Result<(Arc<SharedChild>, Call), Fault> {
        loop {
            let child = self.ready().await?.child;
            deadline.again(&self.options.get().timeouts(), Instant::now());
            match child.call(&flight, request, deadline).await {
                Ok(called) => return called.map(|call| (child, call)),
                Err(Refused::Full) => {}
                Err(Refused::Never(fault)) => return Err(fault),
                Err(Refused::Over(fault)) => {
                    self.dismiss(&child);
                    return Err(fault);
                }
            }
        }
    }

    /// Notes the child that has a resource now, and makes good for the one before.
    fn moved(self: &Arc<Self>, topic: &Arc<Topic>, holder: Holder) {
        let before = self.subscribers().hold(topic, Some(holder));
        let Some(before) = before.filter(|before| before.child != holder.child) else {
            return;
        };
        if before.is_sure {
            let missed = json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": &*topic.uri}});
            self.subscribers()
                .tell(&topic.uri, &missed.to_string().into());
        }
        let Some(child) = self.living(before.child) else {
            return;
        };
        let (group, line) = (self.clone(), own_line("unsubscribe", &topic.uri));
        self.tasks.spawn(async move {
            let deadline = Deadline::new(&group.options.get().timeouts(), Instant::now());
            group.tell(&child, &line, own_flight(), deadline).await;
        });
    }

    /// Sends a request to this child; `None`: it takes none now.
    async fn tell(
        &self,
        child: &Arc<SharedChild>,
        line: &Bytes,
        flight: Arc<Flight>,
        deadline: Deadline,
    ) -> Option<Result<Answer, Fault>> {
        let message = wire::parse(line).ok()?;
        let request = request_of(&message, line).ok()?;
        match child.call(&flight, &request, deadline).await.ok()? {
            Ok(call) => Some(drive(call).await),
            Err(fault) => Some(Err(fault)),
        }
    }

    /// Whether a child that serves agreed to tell of it.
    fn is_held(&self, topic: &Arc<Topic>) -> bool {
        let holder = self.subscribers().holder(topic);
        let holder = holder.filter(|holder| holder.is_sure);
        holder.is_some_and(|holder| {
            let children = self.serving();
            let mut alive = children.iter().filter(|child| child.is_alive());
            alive.any(|child| child.key() == holder.child)
        })
    }

    fn living(&self, key: u64) -> Option<Arc<SharedChild>> {
        let mut children = self.children().into_iter();
        children.find(|child| child.key() == key && child.is_alive())
    }
}

impl Errand {
    async fn subscribe(self, key: u64, claim: u64) {
        let (group, topic) = (&self.group, &self.topic);
        let answered = match self.turn().await {
            Some(_turn) => {
                let answered = self.ask_once(key).await;
                if !answered.as_ref().is_ok_and(|answer| answer.is_result) {
                    group.subscribers().leave_claim(key, &topic.uri, claim);
                    group.subscribers().forget(topic);
                }
                answered
            }
            None => {
                group.subscribers().leave_claim(key, &topic.uri, claim);
                let text = "the server process did not answer in time; subscribe again";
                Err(Fault::new(Code::TimedOut, text))
            }
        };
        self.end(answered);
    }

    /// Has a child asked, unless that was done or is not wanted any more.
    async fn ask_once(&self, key: u64) -> Result<Answer, Fault> {
        let (group, topic) = (&self.group, &self.topic);
        if group.is_held(topic) || !group.subscribers().is_in(topic, key) {
            return Ok(self.settled());
        }
        let flight = || inner(&self.front);
        group.ask(topic, &self.line, self.deadline, flight).await
    }

    async fn unsubscribe(self) {
        let answered = self.tell_once().await;
        self.end(answered);
    }

    /// Has the child told that nobody is left, if that is still so.
    async fn tell_once(&self) -> Result<Answer, Fault> {
        let (group, topic) = (&self.group, &self.topic);
        let Some(_turn) = self.turn().await else {
            return Ok(self.settled()); // the next sweep tells it
        };
        let holder = group.subscribers().holder(topic);
        let holder = holder.filter(|_| group.subscribers().is_vacant(topic));
        let Some(child) = holder.and_then(|holder| group.living(holder.child)) else {
            return Ok(self.settled());
        };
        let flight = inner(&self.front);
        let told = group.tell(&child, &self.line, flight, self.deadline).await;
        let Some(answered) = told else {
            return Ok(self.settled()); // so here
        };
        group.subscribers().hold(topic, None);
        group.subscribers().forget(topic);
        match answered {
            // With it ended what it had.
            Err(fault) if fault.code == Code::ChildDied => Ok(self.settled()),
            answered => answered,
        }
    }

    /// Waits for the right to ask; `None`: not in the time of the request.
    async fn turn(&self) -> Option<MutexGuard<'_, Pauses>> {
        let turn = timeout_at(self.deadline.expires(), self.topic.turn.lock());
        turn.await.ok()
    }

    /// The answer without a child.
    fn settled(&self) -> Answer {
        settled(&self.front)
    }

    fn end(&self, answered: Result<Answer, Fault>) {
        match answered {
            Ok(answer) => self.front.answer(answer),
            Err(fault) => self.front.fail(fault),
        };
    }
}

/// The answer of the proxy itself, which says nothing of the upstream.
fn settled(front: &Flight) -> Answer {
    front.excuse();
    let id = front.id.as_bytes();
    let line = [b"{\"jsonrpc\":\"2.0\",\"id\":", id, b",\"result\":{}}"].concat();
    Answer {
        line: line.into(),
        id_span: None,
        is_result: true,
    }
}

/// Waits for the answer.
async fn drive(mut call: Call) -> Result<Answer, Fault> {
    loop {
        match call.step().await {
            Step::Related(_) => {} // an empty result has no progress worth telling
            Step::Answer { message, is_result } => {
                return Ok(Answer {
                    line: message,
                    id_span: None,
                    is_result,
                });
            }
            Step::Fault(fault) => return Err(fault),
        }
    }
}

/// What goes to a child for a client.
fn inner(front: &Flight) -> Arc<Flight> {
    Flight::new(front.id.clone(), None, front.owner, false)
}

/// What goes to a child for nobody.
fn own_flight() -> Arc<Flight> {
    Flight::new(RawId::new("0"), None, Owner::Nobody, false)
}

fn own_line(what: &str, uri: &str) -> Bytes {
    let method = format!("resources/{what}");
    let line = json!({"jsonrpc": "2.0", "id": 0, "method": method, "params": {"uri": uri}});
    line.to_string().into()
}

fn request_of<'a>(message: &'a Envelope<'a>, line: &'a Bytes) -> Result<Request<'a>, Fault> {
    let Kind::Request { id, .. } = &message.kind else {
        return Err(unread());
    };
    Ok(Request {
        message,
        line,
        id,
        token: wire::progress_token(message.params).unwrap_or_default(),
    })
}

fn named(request: &Request<'_>) -> Result<String, Fault> {
    let uri = wire::resource_uri(request.message.params);
    let uri = uri.map(std::borrow::Cow::into_owned);
    uri.ok_or_else(|| {
        let text = "`params.uri` is missing or no string; name the resource, once";
        Fault::new(Code::BadParams, text)
    })
}

fn unread() -> Fault {
    Fault::new(Code::BadMessage, "this is no request")
}

fn pauses() -> Backoff {
    let mut seed = [0_u8; 8];
    // Without random numbers all come back after the same pauses.
    let _ = getrandom::fill(&mut seed);
    Backoff::new(PAUSES.0, PAUSES.1, u64::from_ne_bytes(seed))
}
