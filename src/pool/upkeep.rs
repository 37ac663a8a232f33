//! Upkeep: what maintenance does for connections that nobody is using.
//!
//! Dooms what is too old, retires what is dead, was idle for too long or is one too many, and fills
//! the idle set up to `min_idle`.
//!
//! Promise: nobody who acquires waits for it; see `sweep`. Cost: one pass over the slots when the
//! agenda says so, not before.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use super::dial;
use super::ledger;
use super::retire;
use super::shared::Body;
use super::sweep::Sweep;
use super::tuning::PoolTuning;
use crate::sync::Arc;
use crate::time::Tick;

/// Slots looked at between two yields: a few microseconds.
const BATCH: usize = 256;

/// Does what is due; tells when to look again.
pub(crate) async fn run<T: Send + 'static>(body: &Arc<Body<T>>, now: Tick) -> Tick {
    let tuning = body.host().tuning();
    let oldest = match tuning.max_lifetime {
        Some(limit) => doom_old(body, limit, now).await,
        None => Tick::NEVER,
    };
    let idlest = Sweep::new(body, &tuning, now).run().await;
    shrink(body);
    refill(body, &tuning);
    oldest.min(idlest).min(ledger::report(body, &tuning, now))
}

/// Marks connections past their lifetime; tells when the next one will be.
async fn doom_old<T: Send + 'static>(body: &Body<T>, limit: Duration, now: Tick) -> Tick {
    // What is opened from now on lives for nine tenths at least.
    let mut next = now.after(limit - limit / 10);
    for first in (0..body.ceiling() as usize).step_by(BATCH) {
        if first > 0 {
            tokio::task::yield_now().await;
        }
        for tenant in body.tenants_from(first, BATCH) {
            let lifetime = lifetime(limit, tenant.created(), tenant.number());
            let end = tenant.created().after(lifetime);
            if end <= now {
                let is_first = tenant.doom();
                body.host().counters.outlived.add(u64::from(is_first));
            } else {
                next = next.min(end);
            }
        }
    }
    next
}

/// The lifetime of one connection: up to a tenth less than the limit, by its own jitter.
fn lifetime(limit: Duration, created: Tick, number: u32) -> Duration {
    let hash =
        BuildHasherDefault::<DefaultHasher>::default().hash_one((created.as_millis(), number));
    limit - (limit / 10).mul_f64((hash % 1024) as f64 / 1024.0)
}

/// Retires idle connections while more stay open than may.
fn shrink<T: Send + 'static>(body: &Body<T>) {
    while retire::is_over_limit(body) {
        match body.take_idle() {
            Some(lease) => retire::bury(lease),
            None => return,
        }
    }
}

/// Starts dials for what is missing of `min_idle`.
pub(crate) fn refill<T: Send + 'static>(body: &Arc<Body<T>>, tuning: &PoolTuning<T>) {
    let missing = tuning.min_idle.saturating_sub(body.idle_count());
    // Not until a claim fails: a runtime that is ending drops each dial, and so frees its claim.
    for _ in 0..missing {
        let Some(ticket) = Body::claim_spare(body, missing) else {
            return;
        };
        if dial::start(ticket).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_spread_over_the_last_tenth() {
        let limit = Duration::from_secs(100);
        let lives = (0..100)
            .map(|number| lifetime(limit, Tick::from_millis(7), number))
            .collect::<Vec<_>>();
        assert!(
            lives
                .iter()
                .all(|life| *life <= limit && *life >= limit.mul_f64(0.9))
        );
        let distinct = lives.iter().collect::<std::collections::HashSet<_>>().len();
        assert!(distinct > 80, "{distinct} of 100 differ");
    }
}
