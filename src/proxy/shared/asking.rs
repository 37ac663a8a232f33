//! What a shared child is asked about resources, by the proxy itself or for a client.
//!
//! Promise: what is written is the proxy's own line, as short as the resource's name allows; what may have killed a
//! child is not given to the next. Cost: a request.

use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;

use super::child::{Request, SharedChild};
use super::flights::Refused;
use super::group::Group;
use crate::proxy::call::{Answer, Call, Flight, Step};
use crate::proxy::session::{Said, Topic};
use crate::proxy::wire::{self, Code, Envelope, Fault, Kind};
use crate::resilience::Deadline;
use crate::sync::Arc;

/// Children that a request may meet on their way out.
const MAX_TRIES: usize = 3;

impl Group {
    /// Asks some child for a resource, and notes who agreed. For who has the turn.
    pub(super) async fn ask(
        self: &Arc<Self>,
        topic: &Arc<Topic>,
        deadline: Deadline,
        flight: impl Fn() -> Arc<Flight>,
    ) -> Result<Answer, Fault> {
        let line = own_line("subscribe", topic);
        let message = wire::parse(&line).map_err(|_| unread())?;
        let request = request_of(&message, &line)?;
        let mut tries = 1;
        loop {
            match self.ask_one(topic, &request, flight(), deadline).await {
                // What may have killed a child is not given to the next.
                Err(fault) if fault.not_run && tries < MAX_TRIES => tries += 1,
                asked => return asked,
            }
        }
    }

    /// Asks the child with the least to do. That is no use of it: what each successor is asked for again would wear it
    /// out at once.
    async fn ask_one(
        self: &Arc<Self>,
        topic: &Arc<Topic>,
        request: &Request<'_>,
        flight: Arc<Flight>,
        mut deadline: Deadline,
    ) -> Result<Answer, Fault> {
        loop {
            let child = self.ready_for(&flight, deadline).await?.child;
            deadline.again(&self.options.get().timeouts(), Instant::now());
            // Before it hears of it: what it tells may come before its answer is seen.
            self.subscribers().ask(topic, child.key());
            let asked = match child.call(&flight, request, deadline).await {
                Ok(Ok(call)) => Ok(drive(call).await),
                Ok(Err(fault)) => Ok(Err(fault)),
                Err(refused) => Err(refused),
            };
            self.note(topic, child.key(), said(&asked));
            match asked {
                Ok(answered) => return answered,
                Err(Refused::Full) => {}
                Err(Refused::Never(fault)) => return Err(fault),
                Err(Refused::Over(fault)) => {
                    self.dismiss(&child);
                    return Err(fault.not_run());
                }
            }
        }
    }

    /// Notes what a child said that was asked for a resource, and makes good for the one that told of it before.
    fn note(&self, topic: &Arc<Topic>, child: u64, said: Said) {
        let before = self.subscribers().answered(topic, child, said);
        if before.is_some() {
            self.subscribers().announce(topic);
        }
    }

    /// Asks this child not to tell of a resource any more; `None`: it takes no request now.
    pub(super) async fn hush(
        &self,
        child: &Arc<SharedChild>,
        topic: &Arc<Topic>,
        flight: Arc<Flight>,
        deadline: Deadline,
    ) -> Option<Result<Answer, Fault>> {
        let line = own_line("unsubscribe", topic);
        let message = wire::parse(&line).ok()?;
        let request = request_of(&message, &line).ok()?;
        match child.call(&flight, &request, deadline).await.ok()? {
            Ok(call) => Some(drive(call).await),
            Err(fault) => Some(Err(fault)),
        }
    }

    /// Whether a child that serves agreed to tell of it.
    pub(super) fn is_held(&self, topic: &Arc<Topic>) -> bool {
        let holder = self.subscribers().holder(topic);
        holder.is_some_and(|holder| {
            let children = self.serving();
            let mut alive = children.iter().filter(|child| child.is_alive());
            alive.any(|child| child.key() == holder)
        })
    }

    /// The child of this name, as long as it lives.
    pub(super) fn living(&self, key: u64) -> Option<Arc<SharedChild>> {
        let mut children = self.children().into_iter();
        children.find(|child| child.key() == key && child.is_alive())
    }

    /// The names of those in service.
    pub(super) fn keys(&self) -> Vec<u64> {
        self.serving().iter().map(|child| child.key()).collect()
    }
}

fn said(asked: &Result<Result<Answer, Fault>, Refused>) -> Said {
    match asked {
        Ok(Ok(answer)) if answer.is_result => Said::Yes,
        Ok(Err(fault)) if !fault.not_run => Said::Nothing,
        _ => Said::No,
    }
}

/// Waits for the answer.
async fn drive(mut call: Call) -> Result<Answer, Fault> {
    loop {
        match call.step().await {
            Step::Related(_) => {} // an empty result has no progress worth telling
            Step::Answer { message, is_result } => {
                return Ok(Answer::own(message, is_result));
            }
            Step::Fault(fault) => return Err(fault),
        }
    }
}

/// The proxy's own line: a client's may be of any length, and this may outlive the client.
fn own_line(what: &str, topic: &Topic) -> Bytes {
    let method = format!("resources/{what}");
    let line = json!({"jsonrpc": "2.0", "id": 0, "method": method, "params": {"uri": &*topic.uri}});
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
        token: None,
    })
}

fn unread() -> Fault {
    Fault::new(Code::BadMessage, "this is no request")
}
