//! A dial: a connection being opened for whoever is first in line when it is done.
//!
//! Promise: each ticket ends in a connection, a failure or a skip, and lowers the count of pending
//! dials in the same step that looks for further demand; dropped unfinished, it frees its permit.

use super::body::Body;
use super::host::Host;
use super::permit::Permit;
use crate::sync::Arc;
use crate::time::Tick;

/// The right and the duty to open one connection.
pub(crate) struct Ticket<T, H: Host<T>> {
    permit: Option<Permit<T, H>>,
    /// Nobody in line asked for it.
    spare: bool,
    /// The pool's generation when the dial began.
    generation: u32,
}

impl<T, H: Host<T>> Ticket<T, H> {
    pub(super) fn new(permit: Permit<T, H>, spare: bool) -> Self {
        let generation = permit.body().map_or(0, |body| body.generation());
        Self {
            permit: Some(permit),
            spare,
            generation,
        }
    }

    pub(crate) fn body(&self) -> Option<&Arc<Body<T, H>>> {
        self.permit.as_ref()?.body()
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// Skips the dial if fewer wait than dials are under way for them. Asked before it starts.
    pub(crate) fn unless_surplus(mut self) -> Option<Self> {
        let body = self.body().map(Arc::clone)?;
        let (surplus, wakes) = body.line(|list, _| {
            let surplus = body.is_closed() || (!self.spare && list.is_surplus());
            if surplus {
                list.finish_dial(self.spare);
            }
            surplus
        });
        let permit = self.permit.take_if(|_| surplus);
        let ticket = (!surplus).then(|| {
            self.generation = body.generation();
            self
        });
        drop(permit);
        drop(wakes);
        ticket
    }

    /// Brings an opened connection in: to the first in line, else into the idle set. Returns the
    /// next ticket if more are wanted.
    pub(crate) fn serve(mut self, value: T, now: Tick) -> Option<Self> {
        let permit = self.permit.take()?;
        let body = permit.body().map(Arc::clone)?;
        let lease = Body::install(permit, value, self.generation, now);
        // Outdated before it came: the drop retires it.
        let doomed = lease.is_doomed();
        let id = lease.into_id();
        let ((handed, more), wakes) = body.line(|list, wakes| {
            list.finish_dial(self.spare);
            list.expire(now, wakes);
            let handed = !doomed && !body.is_suspended() && list.serve_head(id, wakes);
            // The back-end is there: no need to wait for the end of a pause.
            list.resume_dials();
            let more = body.claim_in(list);
            list.grant(body.free_permits(), wakes);
            (handed, more)
        });
        let next = Body::claim_next(Arc::clone(&body), more);
        if doomed {
            H::returned(body.lease(id));
        } else if !handed {
            // Nobody had it, so it is put, not returned. A waiter may have come meanwhile.
            body.lease(id).put();
        }
        // Last: wakers are code of others, and may panic.
        drop(wakes);
        next
    }

    /// Ends the dial without a connection. `failure` goes to the first in line, and to everybody
    /// if no other connection is open or being opened. Until the pause is over, at `until`, no dial is
    /// begun; `None`: another failed dial waits already.
    pub(crate) fn fail(mut self, failure: Option<H::Failure>, until: Tick) -> Option<Pause<T, H>> {
        let permit = self.permit.take()?;
        let body = permit.body().map(Arc::clone)?;
        let (paused, mut wakes) = body.line(|list, wakes| {
            list.finish_dial(self.spare);
            let alone = list.pending() == 0 && body.capacity.peek().open() == 1;
            // By reference: the failure is the user's, and not dropped under the lock.
            match &failure {
                Some(failure) if alone => list.fail_all(failure, wakes),
                Some(failure) => list.fail_head(failure, wakes),
                None => {}
            }
            list.pause_dials(until)
        });
        // At once: from here on its drop ends the pause, whoever panics.
        let pause = paused.then(|| Pause {
            body: Some(Arc::clone(&body)),
        });
        drop(permit);
        // What was promised for a second dial is not kept through the pause.
        body.settle_promise_into(&mut wakes);
        // Last: wakers are code of others, and may panic.
        drop(wakes);
        pause
    }
}

impl<T, H: Host<T>> Drop for Ticket<T, H> {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        let finish = |body: &Arc<Body<T, H>>| body.line(|list, _| list.finish_dial(self.spare)).1;
        let wakes = permit.body().map(finish);
        // After it: its drop looks at the line and tells a waiter, whose poll starts the next dial.
        drop(permit);
        drop(wakes);
    }
}

/// No dial is begun while this lives.
pub(crate) struct Pause<T, H: Host<T>> {
    body: Option<Arc<Body<T, H>>>,
}

impl<T, H: Host<T>> Pause<T, H> {
    /// Ends the pause; the ticket is for the first of the dials that are wanted now.
    pub(crate) fn over(mut self) -> Option<Ticket<T, H>> {
        let body = self.body.take()?;
        let (claimed, wakes) = body.line(|list, wakes| {
            list.resume_dials();
            let claimed = body.claim_in(list);
            list.grant(body.free_permits(), wakes);
            claimed
        });
        let next = Body::claim_next(body, claimed);
        // Last: wakers are code of others, and may panic.
        drop(wakes);
        next
    }
}

impl<T, H: Host<T>> Drop for Pause<T, H> {
    fn drop(&mut self) {
        let Some(body) = self.body.take() else { return };
        let ((), wakes) = body.line(|list, wakes| {
            list.resume_dials();
            list.grant(body.free_permits(), wakes);
        });
        drop(wakes);
    }
}
