//! pingora-pool.
//!
//! Promise: one key, capacity for every object, the eviction notices dropped unread: what an idle
//! connection's watcher would await is no cost of the pool.
//! Bias: it keeps idle connections and does nothing else: no limit, no waiting, no guard (this file
//! puts back at the drop). It plays only where there is an object for every caller.
//! Cost: one forwarded call, and the drop that puts back.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

use pingora_pool::{ConnectionMeta, ConnectionPool};

use crate::harness::{Build, Subject};

/// The only upstream.
const KEY: u64 = 1;

/// The peer, and the id that the next opened connection gets.
#[derive(Clone)]
pub struct Pingora(Arc<(ConnectionPool<i32>, AtomicI32)>);

/// A connection on loan.
pub struct Loan<'a> {
    pool: &'a ConnectionPool<i32>,
    id: i32,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let _ = self.pool.put(&ConnectionMeta::new(KEY, self.id), self.id);
    }
}

impl Subject for Pingora {
    const NAME: &'static str = "pingora-pool";
    type Guard<'a> = Loan<'a>;

    async fn acquire(&self) -> Loan<'_> {
        let (pool, opened) = &*self.0;
        let id = pool.get(&KEY);
        // Relaxed: ids only have to differ.
        let id = id.unwrap_or_else(|| opened.fetch_add(1, Relaxed));
        Loan { pool, id }
    }

    fn opened(&self) -> usize {
        // Relaxed: read after every task has ended.
        self.0.1.load(Relaxed) as usize
    }
}

impl Build for Pingora {
    fn build(size: usize) -> Self {
        Self(Arc::new((ConnectionPool::new(size), AtomicI32::new(0))))
    }
}
