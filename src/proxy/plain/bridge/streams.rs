//! The streams of a connection in h2: each is a task that can be ended alone.
//!
//! Promise: a stream whose task is ended is reset; those beside it go on. Hyper holds
//! one frame of a body until there is room for it and asks for no other meanwhile, so a body cannot end a stream whose
//! client makes none.
//! Cost: one allocation a stream.

use std::future::Future;

use hyper::rt::Executor;
use tokio::task::AbortHandle;

use crate::sync::{Arc, OnceLock};

tokio::task_local! {
    /// What ends the task.
    static STREAM: Arc<OnceLock<AbortHandle>>;
}

/// Runs each stream as a task of its own.
#[derive(Clone, Copy, Debug)]
pub struct Streams;

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        let end = Arc::new(OnceLock::new());
        let task = tokio::spawn(STREAM.scope(end.clone(), stream));
        // Set once, here, and read by a timer later.
        let _ = end.set(task.abort_handle());
    }
}

/// What ends the stream that this task serves, if it is one's.
pub fn current() -> Option<Arc<OnceLock<AbortHandle>>> {
    STREAM.try_with(Arc::clone).ok()
}
