//! A client's request about a resource.
//!
//! Promise: it goes on where its client goes away, and ends within its time, or when its client takes it back; whose
//! turn it is asks the child, everybody else learns what came of it. Cost: a task.

use tokio::sync::MutexGuard;
use tokio::time::timeout_at;

use super::counted::Counted;
use super::resources::settled;
use crate::proxy::call::{Answer, Flight};
use crate::proxy::session::{Pauses, Topic};
use crate::proxy::wire::{Code, Fault};
use crate::resilience::Deadline;
use crate::sync::Arc;

/// One request.
pub struct Errand {
    topic: Arc<Topic>,
    /// The client's side.
    front: Arc<Flight>,
    deadline: Deadline,
    /// Also says whose it is.
    counted: Counted,
}

impl Errand {
    /// A request that is about to be seen to.
    pub fn new(
        topic: Arc<Topic>,
        front: &Arc<Flight>,
        deadline: Deadline,
        counted: Counted,
    ) -> Self {
        Self {
            topic,
            front: front.clone(),
            deadline,
            counted,
        }
    }

    /// Subscribes this session by this claim.
    pub async fn subscribe(self, key: u64, claim: u64) {
        let (group, topic) = (&self.counted.group, &self.topic);
        // It stays so: nobody lets go of a resource that a session is entered under.
        if group.is_held(topic) {
            group.subscribers().agree(topic, key);
            return self.end(Ok(self.settled()));
        }
        let answered = match self.turn().await {
            Ok(_turn) => {
                let answered = self.ask_once(key).await;
                let subscribers = group.subscribers();
                match &answered {
                    Ok(answer) if answer.is_result => subscribers.agree(topic, key),
                    refused => subscribers.leave_claim(key, &topic.uri, claim, refused.is_ok()),
                }
                subscribers.forget(topic);
                answered
            }
            Err(fault) => {
                let subscribers = group.subscribers();
                subscribers.leave_claim(key, &topic.uri, claim, false);
                // Who has the turn tells what came of it; this one was not sent.
                self.front.excuse();
                Err(fault)
            }
        };
        self.end(answered);
    }

    /// Has a child asked, unless that was done or is not wanted any more.
    async fn ask_once(&self, key: u64) -> Result<Answer, Fault> {
        let (group, topic) = (&self.counted.group, &self.topic);
        if group.is_held(topic) || !group.subscribers().is_in(topic, key) {
            return Ok(self.settled());
        }
        group.ask(topic, self.deadline, || self.inner()).await
    }

    /// Takes a subscription back; the session is off it already.
    pub async fn unsubscribe(self) {
        let answered = self.hush_once().await;
        self.end(answered);
    }

    /// Has the child asked not to tell of it any more, if nobody is left by then.
    async fn hush_once(&self) -> Result<Answer, Fault> {
        let (group, topic) = (&self.counted.group, &self.topic);
        let Ok(_turn) = self.turn().await else {
            return Ok(self.settled()); // the next sweep asks it
        };
        let holder = group.subscribers().holder(topic);
        let holder = holder.filter(|_| group.subscribers().release(topic));
        let Some(child) = holder.and_then(|holder| group.living(holder)) else {
            return Ok(self.settled()); // so with what is left of it
        };
        let hushed = group.hush(&child, topic, self.inner(), self.deadline).await;
        let Some(answered) = hushed else {
            return Ok(self.settled()); // so here
        };
        group.subscribers().acquit(topic, child.key());
        group.subscribers().forget(topic);
        match answered {
            // With it ended what it had.
            Err(fault) if fault.code == Code::ChildDied => Ok(self.settled()),
            answered => answered,
        }
    }

    /// Waits for the right to ask, but not beyond the time of the request, or after its client took it back.
    async fn turn(&self) -> Result<MutexGuard<'_, Pauses>, Fault> {
        let turn = async {
            let turn = timeout_at(self.deadline.expires(), self.topic.turn.lock());
            let text = "the server process did not answer in time; subscribe again";
            turn.await.map_err(|_| Fault::new(Code::TimedOut, text))
        };
        self.counted.group.waiting.wait(&self.inner(), turn).await
    }

    /// What goes to a child for its client.
    fn inner(&self) -> Arc<Flight> {
        Flight::behind(&self.front)
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
