//! Hooks that turn on their own pool: close it, or drop the last handle to it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use plunge::{Plain, Pool, PoolHooks, PoolOptions, Verdict, WeakPool};

use crate::support::{plain, until, watched};

type Hooks = PoolHooks<Plain<u64>>;
/// What the next hook is going to do, once.
type Deed = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// Where the deed is done.
type Place = (&'static str, fn(Deed) -> Hooks);

const PLACES: [Place; 6] = [
    ("after_create", |deed| {
        Hooks::new().after_create(move |_, _| {
            let deed = Arc::clone(&deed);
            Box::pin(async move { Ok(act(&deed)) })
        })
    }),
    ("after_create_sync", |deed| {
        Hooks::new().after_create_sync(move |_, _| act(&deed))
    }),
    ("before_acquire", |deed| {
        Hooks::new().before_acquire(move |_, _| {
            let deed = Arc::clone(&deed);
            Box::pin(async move { Ok(act(&deed)) })
        })
    }),
    ("before_acquire_sync", |deed| {
        Hooks::new().before_acquire_sync(move |_, _| act(&deed))
    }),
    ("after_release", |deed| {
        Hooks::new().after_release(move |_, _| {
            let deed = Arc::clone(&deed);
            Box::pin(async move { Ok(act(&deed)) })
        })
    }),
    ("after_release_sync", |deed| {
        Hooks::new().after_release_sync(move |_, _| act(&deed))
    }),
];

fn act(deed: &Deed) -> Verdict {
    let deed = deed.lock().unwrap().take();
    if let Some(deed) = deed {
        deed();
    }
    Verdict::Keep
}

/// What the hook does to its pool.
type NamedDeed = (&'static str, fn(Pool<Plain<u64>>));

const DEEDS: [NamedDeed; 3] = [
    ("drops a handle", drop),
    ("begins to close it", |pool| {
        let _ = futures::FutureExt::now_or_never(pool.close(Duration::ZERO));
    }),
    ("closes it and waits, in a task", |pool| {
        tokio::spawn(async move { pool.close(Duration::from_secs(1)).await });
    }),
];

#[test]
fn whatever_a_hook_does_to_its_pool_nothing_is_left() {
    watched(|scene| {
        for (place, hooks) in PLACES {
            for (name, deed) in DEEDS {
                for own in [false, true] {
                    scene(format!(
                        "{place} {name}, {}",
                        if own { "the last" } else { "not last" }
                    ));
                    let runtime = crate::support::paused();
                    runtime.block_on(play(hooks, deed, own));
                }
            }
        }
    });
}

/// Acquires and releases while the hook acts; `last`: the handle in the hook is the last one.
async fn play(hooks: fn(Deed) -> Hooks, deed: fn(Pool<Plain<u64>>), last: bool) {
    let slot = Deed::default();
    let pool = plain(
        PoolOptions::new()
            .max_connections(2)
            .hooks(hooks(Arc::clone(&slot))),
    );
    let (weak, handle) = (pool.downgrade(), pool.clone());
    *slot.lock().unwrap() = Some(Box::new(move || deed(handle)));
    // The task holds its handle for as long as it waits; a release comes after that.
    let acquired = pool.acquire().await;
    if last {
        drop(pool);
        drop(acquired);
        return until("the pool is gone", || weak.upgrade().is_none()).await;
    }
    drop(acquired);
    until("nothing is in use", || {
        let stats = pool.stats();
        stats.open == stats.idle
    })
    .await;
    pool.close(Duration::from_secs(1)).await;
    assert_eq!(pool.stats().open, 0);
    assert!(pool.acquire().await.unwrap_err().is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_hook_may_use_its_pool_through_a_weak_handle() {
    let late = Arc::new(Mutex::new(None::<WeakPool<Plain<u64>>>));
    let seen = Arc::clone(&late);
    let hooks = Hooks::new().after_release(move |_, _| {
        let pool = seen.lock().unwrap().as_ref().and_then(WeakPool::upgrade);
        Box::pin(async move {
            if let Some(pool) = pool {
                // Others, while this one is in its hook.
                drop(pool.try_acquire());
                let stats = pool.stats();
                assert_eq!(stats.recycling + stats.idle + stats.leased, stats.open);
            }
            Ok(Verdict::Keep)
        })
    });
    let pool = plain(PoolOptions::new().max_connections(1).hooks(hooks));
    *late.lock().unwrap() = Some(pool.downgrade());
    drop(pool.acquire().await.unwrap());
    until("it is back", || pool.stats().idle == 1).await;
    assert_eq!(pool.stats().retired, 0);
}
