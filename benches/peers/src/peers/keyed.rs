//! The pool by key as a subject: the key is looked up, or a handle of it is kept.
//!
//! Promise: each acquire asks for the next of 64 keys, so that no subject serves one key out of a
//! register. Four connections a key: the case measures the way to a key's pool, not its exhaustion.
//! Cost: a thread-local counter an acquire, the same for all subjects by key.

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::Arc;

use plunge::{KeyHandle, KeyedOptions, KeyedPool, Plain, PoolConnection};

use crate::harness::{Build, Subject, opening};

/// How many keys there are.
pub const KEYS: u64 = 64;

thread_local! {
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

/// The key whose turn it is on this thread.
pub fn next_key() -> u64 {
    let key = NEXT.get();
    NEXT.set((key + 1) % KEYS);
    key
}

type Zeros = Plain<u64>;

/// A pool by key; `HANDLES` says whether the lookup is left out.
#[derive(Clone)]
pub struct OursKeyed<const HANDLES: bool>(Arc<Parts>);

struct Parts {
    pool: KeyedPool<u64, Zeros>,
    handles: Vec<KeyHandle<u64, Zeros>>,
}

impl<const HANDLES: bool> Subject for OursKeyed<HANDLES> {
    const NAME: &'static str = match HANDLES {
        true => "plunge, key handles",
        false => "plunge",
    };
    type Guard<'a> = PoolConnection<Zeros>;

    async fn acquire(&self) -> PoolConnection<Zeros> {
        let key = next_key();
        let acquired = match HANDLES {
            true => self.0.handles[key as usize].acquire().await,
            false => self.0.pool.acquire(&key).await,
        };
        acquired.expect("no case exhausts the pool for two seconds")
    }

    fn opened(&self) -> usize {
        self.0.pool.stats().open as usize
    }
}

impl<const HANDLES: bool> Build for OursKeyed<HANDLES> {
    fn build(size: usize) -> Self {
        let options = KeyedOptions::new().max_connections(size as u32);
        let pool = options.connect_with(|_key: &u64| async {
            opening().await;
            Ok::<_, Infallible>(Plain(0))
        });
        let pool = pool.expect("the options are valid");
        let handles = (0..KEYS).map(|key| pool.handle(key)).collect();
        Self(Arc::new(Parts { pool, handles }))
    }
}
