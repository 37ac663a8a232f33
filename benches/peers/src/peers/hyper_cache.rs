//! hyper-util's pool (`client::pool::cache`).
//!
//! Promise: the cache alone, without the layers that a client stacks on it.
//! Bias: a mutexed stack of idle services; it has no limit and opens another where nothing is idle,
//! so that it plays only where there is an object for every caller. A caller needs a service of its
//! own to call, so each acquire clones the handle: that is how it is meant to be used.
//! Cost: one forwarded call.

use std::convert::Infallible;
use std::future::{Future, Ready, poll_fn, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use hyper_util::client::pool::cache::builder;
use tower_service::Service;

use crate::harness::{Case, Entry, Subject, count, count_hand_offs, fill, play};

/// Opens zeros and counts them: the cache keeps no count.
#[derive(Clone)]
pub struct Zeros(Arc<AtomicUsize>);

impl Service<()> for Zeros {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        // Relaxed: read after every task has ended.
        self.0.fetch_add(1, Relaxed);
        ready(Ok(0))
    }
}

/// The peer. Its type has no public name, so that it is built by a function, not by the type.
#[derive(Clone)]
pub struct HyperCache<C>(C, Arc<AtomicUsize>);

impl<C> Subject for HyperCache<C>
where
    C: Service<(), Response: Send, Error: Send, Future: Future + Send>,
    C: Clone + Send + Sync + 'static,
{
    const NAME: &'static str = "hyper-util cache";
    type Guard<'a> = C::Response;

    async fn acquire(&self) -> C::Response {
        let mut cache = self.0.clone();
        let made = match poll_fn(|context| cache.poll_ready(context)).await {
            Ok(()) => cache.call(()).await,
            Err(error) => Err(error),
        };
        let Ok(object) = made else {
            panic!("the factory never fails");
        };
        object
    }

    fn opened(&self) -> usize {
        // Relaxed: see `call`.
        self.1.load(Relaxed)
    }
}

fn build(_size: usize) -> impl Subject {
    let opened = Arc::new(AtomicUsize::new(0));
    HyperCache(builder().build(Zeros(Arc::clone(&opened))), opened)
}

/// Its entry, made by hand because its type cannot be named.
pub fn hyper_cache(plays: fn(&Case) -> bool) -> Entry {
    Entry {
        name: HyperCache::<Zeros>::NAME,
        plays,
        play: |case, millis| play(case, millis, build),
        count: |cycles| count(cycles, build),
        count_waits: |cycles| count_hand_offs(cycles, build),
        keep: |size| Box::new(fill(size, build)),
    }
}
