//! Who waits for a shared child.
//!
//! Promise: a wait ends with a child, with the start that failed under it, or when it was as long as it may be: nobody
//! waits beyond the end of the call. A place that is free again is for who takes one.
//! Cost: a look at every child each time something changes.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::group::{Group, Picked, at_limit};
use super::hello::Hello;
use crate::proxy::call::{Flight, Manner};
use crate::proxy::wire::{Code, Fault};
use crate::resilience::Deadline;
use crate::sync::Arc;

impl Group {
    /// What the children say of themselves, once one serves, waiting no longer than to the whole of this deadline.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub async fn hello(self: &Arc<Self>, deadline: Deadline) -> Result<Arc<Hello>, Fault> {
        match self.known() {
            Some(hello) => Ok(hello),
            None => {
                let ready = self.ready_slow(Self::pick_quietest, deadline).await;
                self.freed.notify_one(); // see `ready_for`
                Ok(ready?.child.hello().clone())
            }
        }
    }

    /// A child for this request, unless it is cancelled or its time is over before there is one.
    pub(super) async fn ready_for(
        self: &Arc<Self>,
        flight: &Arc<Flight>,
        deadline: Deadline,
    ) -> Result<Picked, Fault> {
        let pick = match flight.manner {
            Manner::Listening => Self::pick_quietest,
            _ => Self::pick,
        };
        match pick(self) {
            Some(child) => Ok(child),
            None => {
                let ready = self.ready_slow(pick, deadline);
                let ready = Box::pin(self.waiting.wait(flight, ready)).await;
                if ready.is_err() || flight.manner == Manner::Listening {
                    // It may have been woken for a place that it does not take.
                    self.freed.notify_one();
                }
                ready
            }
        }
    }

    #[cold]
    fn ready_slow(
        self: &Arc<Self>,
        pick: fn(&Arc<Self>) -> Option<Picked>,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Picked, Fault>> + Send {
        let group = self.clone();
        async move {
            let begun = Instant::now();
            let left = deadline.left(begun);
            let mut starts = group.starts.subscribe();
            let mut seen = starts.borrow_and_update().0;
            loop {
                let mut freed = std::pin::pin!(group.freed.notified());
                freed.as_mut().enable();
                if let Some(child) = pick(&group) {
                    return Ok(child);
                }
                if group.is_closed() {
                    return Err(Fault::closing());
                }
                group.dismiss_dead();
                group.start_one();
                let (patience, late) = group.patience(left);
                tokio::select! {
                    () = &mut freed => {}
                    _ = starts.changed() => {}
                    () = sleep_until(begun + patience) => {
                        let may = late.code == Code::NoChild && patience < left;
                        let last = group.any_worn().filter(|_| may);
                        return last.ok_or(late);
                    }
                }
                let (count, failed) = starts.borrow_and_update().clone();
                if let (true, Some((fault, _)), None) = (count > seen, failed, group.least_busy()) {
                    return Err(fault);
                }
                seen = count;
            }
        }
    }

    /// How long a request waits that has so much time left, and what it is told then.
    fn patience(&self, left: Duration) -> (Duration, Fault) {
        if self.least_busy_of(|child| !child.is_worn()).is_some() {
            return (self.options.get().acquire_timeout.min(left), at_limit());
        }
        let connect = self.options.get().connect_timeout;
        let (patience, limit) = if connect <= left {
            (connect, "connect_timeout")
        } else {
            (left, "call_timeout")
        };
        let text =
            format!("no server process was ready within {patience:?} (`{limit}`); try again");
        (patience, Fault::new(Code::NoChild, text))
    }
}
