//! A subscription that outlives its child.
//!
//! Promise: where the child dies the subscription is sent to another one, with the id that its client gave it;
//! the client sees one acknowledgement, and is told once that all it subscribed to may have changed. It ends
//! when its client leaves, when the server answers it, in order with the proxy, or with the fault of a server that
//! does not come back.
//! Cost: a task and a second flight a subscription; with an upstream over HTTP a connection.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::child::Request;
use super::group::Group;
use crate::proxy::call::{Answer, Call, Flight, Step};
use crate::proxy::seed::seed;
use crate::proxy::wire::{self, Code, Fault, Kind, subscription::Known};
use crate::resilience::{Backoff, Deadline};
use crate::sync::Arc;

/// The longest pause before the first try, and of all.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Tries without an acknowledgement after which it is given up: some ten seconds.
const MAX_FAILURES: u32 = 8;

/// What is sent to each child.
struct Subscription {
    group: Arc<Group>,
    /// The client's side.
    front: Arc<Flight>,
    line: Bytes,
}

/// Begins a subscription; the call waits for what any of its children say.
///
/// # Errors
///
/// As [`Group::call`], of the first child.
///
/// # Cancel safety
///
/// Dropped, or its call dropped, the child that has the subscription is told.
pub async fn subscribe(group: &Arc<Group>, front: Arc<Flight>, line: Bytes) -> Result<Call, Fault> {
    let subscription = Subscription {
        group: group.clone(),
        front: front.clone(),
        line,
    };
    let mut closing = group.closing();
    let first = subscription.send().await?;
    let mut call = Call::new(front.clone());
    let task = group.carry_on(async move {
        tokio::select! {
            () = subscription.follow(first) => {}
            _ = closing.changed() => {
                front.answer(Answer::own(wire::subscription::end(&front.id), true));
            }
        }
    })?;
    call.or_else(move || task.abort());
    Ok(call)
}

impl Subscription {
    /// Sends it to a child.
    async fn send(&self) -> Result<Call, Fault> {
        let unread = || Fault::new(Code::BadMessage, "this is no request");
        let message = wire::parse(&self.line).map_err(|_| unread())?;
        let Kind::Request { id, .. } = &message.kind else {
            return Err(unread());
        };
        let token = wire::progress_token(message.params).unwrap_or_default();
        let request = Request {
            message: &message,
            line: &self.line,
            id,
            token,
        };
        let front = &self.front;
        let (id, token) = (front.id.clone(), front.token.clone());
        let (stream, manner) = (front.takes_stream, front.manner);
        let flight = Flight::admitted(id, token, front.owner, stream, manner, None);
        let endless = Deadline::endless(Instant::now());
        self.group.call_child(flight, &request, endless).await
    }

    /// Brings what its children say until it is over.
    async fn follow(self, mut call: Call) {
        let mut pauses = Backoff::new(PAUSES.0, PAUSES.1, seed());
        let mut known = Known::default();
        loop {
            let fault = match call.step().await {
                Step::Related(message) => {
                    pauses.succeed();
                    let missed = known.missed(&message).unwrap_or_else(|| vec![message]);
                    if !missed.into_iter().all(|message| self.pass_on(message)) {
                        return;
                    }
                    continue;
                }
                Step::Answer { message, is_result } => {
                    self.front.answer(Answer::own(message, is_result));
                    return;
                }
                Step::Fault(fault) => fault,
            };
            call = match self.again(fault, &mut pauses).await {
                Ok(again) => again,
                Err(fault) => {
                    self.front.fail(fault);
                    return;
                }
            };
        }
    }

    /// Sends it to another child, however long it takes for one to be there.
    ///
    /// # Errors
    ///
    /// The last fault of a server that does not come back.
    async fn again(&self, mut fault: Fault, pauses: &mut Backoff) -> Result<Call, Fault> {
        while is_passing(&fault) && pauses.failures() < MAX_FAILURES {
            sleep(pauses.fail()).await;
            match self.send().await {
                Ok(call) => return Ok(call),
                Err(failed) => fault = failed,
            }
        }
        Err(fault)
    }

    /// Passes a message on; `false`: its client reads too slowly, and has to listen again.
    fn pass_on(&self, message: Bytes) -> bool {
        if self.front.relate(message).is_ok() || !self.front.takes_stream {
            return true;
        }
        let text = "changes were not read as fast as they came; listen again";
        self.front.fail(Fault::new(Code::Busy, text));
        false
    }
}

/// Whether another child may do better soon.
fn is_passing(fault: &Fault) -> bool {
    matches!(fault.code, Code::ChildDied | Code::NoChild | Code::Busy)
}
