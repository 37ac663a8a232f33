//! The tasks in which hyper drives a connection to an upstream in h2.
//!
//! Promise: whoever dials hears of each step of theirs: hyper itself tells nobody when the settings of the other side
//! came, and with them how many streams there may be.
//! Cost: an atomic step for each poll of a task.

use std::future::{Future, poll_fn};
use std::pin::pin;

use hyper::rt::Executor;
use tokio::sync::Notify;

use crate::sync::Arc;

/// Runs them, on the runtime of whoever dials.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    stepped: Arc<Notify>,
}

impl Tasks {
    /// Ends with the next step of one of them, or at once if there was one since the last call.
    pub async fn step(&self) {
        self.stepped.notified().await;
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let stepped = self.stepped.clone();
        tokio::spawn(async move {
            let mut task = pin!(task);
            poll_fn(|context| {
                let polled = task.as_mut().poll(context);
                stepped.notify_one();
                polled
            })
            .await;
        });
    }
}
