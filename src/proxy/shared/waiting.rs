//! Requests that wait for a child, or for their turn to ask it.
//!
//! Promise: one that its client takes back meanwhile ends at once, and no child sees it.
//! Cost: a short lock at the begin and at the end of a wait; nothing where a child has room.

use super::child::cancelled;
use crate::proxy::call::{Call, Flight, Owner, Step};
use crate::proxy::wire::{Fault, RequestId};
use crate::sync::{Arc, Mutex};

/// Those of one upstream.
#[derive(Default)]
pub struct Waiting(Mutex<Vec<Arc<Flight>>>);

/// A request's place among them, until dropped.
struct Place<'a> {
    waiting: &'a Waiting,
    flight: &'a Arc<Flight>,
}

impl Waiting {
    /// Waits for what this request needs: a child, or its turn.
    ///
    /// # Errors
    ///
    /// Why there is none, or that the request was cancelled.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the request has no reader any more.
    pub async fn wait<T>(
        &self,
        flight: &Arc<Flight>,
        ready: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let place = self.enter(flight);
        let mut call = Call::new(flight.clone());
        tokio::select! {
            biased; // what was cancelled gets no child
            Step::Fault(fault) = call.step() => Err(fault),
            ready = ready => {
                if !place.leave() {
                    return Err(cancelled()); // just now
                }
                call.release();
                ready
            }
        }
    }

    fn enter<'a>(&'a self, flight: &'a Arc<Flight>) -> Place<'a> {
        self.0.lock().push(flight.clone());
        Place {
            waiting: self,
            flight,
        }
    }

    /// Ends the requests that this owner sent with this id.
    pub fn cancel(&self, owner: Owner, request: &RequestId) {
        let mine = |flight: &mut Arc<Flight>| flight.is_of(owner, request);
        let named: Vec<_> = self.0.lock().extract_if(.., mine).collect();
        for flight in named {
            flight.fail(cancelled());
        }
    }
}

impl Place<'_> {
    /// Gives it up; `false`: the request was cancelled before.
    fn leave(&self) -> bool {
        let mut waiting = self.waiting.0.lock();
        let mine = |flight: &Arc<Flight>| Arc::ptr_eq(flight, self.flight);
        let at = waiting.iter().position(mine);
        at.map(|at| waiting.swap_remove(at)).is_some() // not the last: the place has another
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
