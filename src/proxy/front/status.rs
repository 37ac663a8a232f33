//! How reloads went.

use crate::sync::Mutex;
use crate::time::unix_now;

/// How reloads went so far.
#[derive(Debug, Default)]
pub struct ReloadStatus(Mutex<Went>);

/// The same, at one time.
#[derive(Clone, Debug, Default)]
pub struct Went {
    /// Reloads that came into force.
    pub succeeded: u64,
    /// Reloads that changed nothing.
    pub failed: u64,
    /// When the last one was, in seconds since 1970.
    pub last_at: Option<u64>,
    /// What was wrong with it; empty if it came into force.
    pub mistakes: Vec<String>,
}

impl ReloadStatus {
    /// Notes one, with what was wrong with it.
    pub fn note(&self, mistakes: Vec<String>) {
        let mut went = self.0.lock();
        if mistakes.is_empty() {
            went.succeeded += 1;
        } else {
            went.failed += 1;
        }
        went.last_at = Some(unix_now().as_secs());
        went.mistakes = mistakes;
    }

    /// All of it.
    pub fn went(&self) -> Went {
        self.0.lock().clone()
    }
}
