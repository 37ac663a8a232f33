//! pingora-pool.
//!
//! Promise: one key, or the keys of the case by key; capacity for every object, the eviction notices
//! dropped unread: what an idle connection's watcher would await is no cost of the pool.
//! Bias: it keeps idle connections and does nothing else: no limit, no waiting, no guard (this file
//! puts back at the drop). It plays only where there is an object for every caller.
//! Cost: one forwarded call, and the drop that puts back.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

use pingora_pool::{ConnectionMeta, ConnectionPool};

use super::keyed::next_key;
use crate::harness::{Build, Subject};

/// The peer, and the id that the next opened connection gets; `KEYED` says whether each acquire asks
/// for the next key.
#[derive(Clone)]
pub struct Pingora<const KEYED: bool>(Arc<(ConnectionPool<i32>, AtomicI32)>);

/// A connection on loan.
pub struct Loan<'a> {
    pool: &'a ConnectionPool<i32>,
    key: u64,
    id: i32,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let _ = self
            .pool
            .put(&ConnectionMeta::new(self.key, self.id), self.id);
    }
}

impl<const KEYED: bool> Subject for Pingora<KEYED> {
    const NAME: &'static str = "pingora-pool";
    type Guard<'a> = Loan<'a>;

    async fn acquire(&self) -> Loan<'_> {
        let (pool, opened) = &*self.0;
        let key = if KEYED { next_key() } else { 0 };
        let id = pool.get(&key);
        // Relaxed: ids only have to differ.
        let id = id.unwrap_or_else(|| opened.fetch_add(1, Relaxed));
        Loan { pool, key, id }
    }

    fn opened(&self) -> usize {
        // Relaxed: read after every task has ended.
        self.0.1.load(Relaxed) as usize
    }
}

impl<const KEYED: bool> Build for Pingora<KEYED> {
    fn build(size: usize) -> Self {
        Self(Arc::new((ConnectionPool::new(size), AtomicI32::new(0))))
    }
}
