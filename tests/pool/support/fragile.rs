//! Connections of a back-end that can be restarted: all that were made before are dead then.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use plunge::{BoxError, Pool, PoolOptions, PoolableResource};

/// A connection; dead once its back-end is.
#[derive(Debug)]
pub struct Fragile {
    /// Counts from 1, in the order of opening.
    pub number: u64,
    alive: Arc<AtomicBool>,
    log: Arc<Mutex<Vec<String>>>,
}

impl PoolableResource for Fragile {
    fn is_healthy(&self) -> bool {
        self.alive.load(SeqCst)
    }

    async fn check(&mut self) -> Result<(), BoxError> {
        self.log
            .lock()
            .unwrap()
            .push(format!("check {}", self.number));
        Ok(())
    }

    async fn close(self) {}
}

impl Drop for Fragile {
    fn drop(&mut self) {
        self.log
            .lock()
            .unwrap()
            .push(format!("drop {}", self.number));
    }
}

#[derive(Clone, Debug, Default)]
pub struct BackEnd {
    alive: Arc<Mutex<Arc<AtomicBool>>>,
    made: Arc<AtomicU64>,
    /// What happened to its connections.
    pub log: Arc<Mutex<Vec<String>>>,
}

impl BackEnd {
    pub fn new() -> Self {
        let new = Self::default();
        new.restart();
        new
    }

    /// What was opened before is dead; what is opened from now on is not.
    pub fn restart(&self) {
        let fresh = Arc::new(AtomicBool::new(true));
        std::mem::replace(&mut *self.alive.lock().unwrap(), fresh).store(false, SeqCst);
    }

    pub fn pool(&self, options: PoolOptions<Fragile>) -> Pool<Fragile> {
        let this = self.clone();
        let connect = move || {
            let connection = Fragile {
                number: this.made.fetch_add(1, SeqCst) + 1,
                alive: Arc::clone(&this.alive.lock().unwrap()),
                log: Arc::clone(&this.log),
            };
            async { Ok::<_, Infallible>(connection) }
        };
        options.connect_with(connect).unwrap()
    }
}

/// Opens so many, all at the same time.
pub async fn fill(pool: &Pool<Fragile>, count: usize) {
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(pool.acquire().await.unwrap());
    }
}
