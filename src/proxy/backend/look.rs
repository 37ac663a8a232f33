//! Whether a server over HTTP is there that nobody asks: where each client, or each request, has a session of its own,
//! none is there to be asked for a sign of life.
//!
//! Promise: that nobody takes a connection is known within an interval, and that somebody does again soon after: the pause
//! of the pool's dials is waited for.
//! Cost: one connection an interval, unless there is one that nobody uses.

use std::time::Duration;

use tokio::time::sleep;

use crate::proxy::live::Live;
use crate::proxy::peer::none_free;
use crate::proxy::remote::RemoteSource;
use crate::proxy::wire::Code;
use crate::sync::{Arc, Mutex};
use crate::transport::http::HttpError;

/// How long after a look that failed the next one comes.
const AGAIN: Duration = Duration::from_secs(1);

/// The look at one server.
pub struct Look {
    source: Arc<RemoteSource>,
    /// Why nobody took a connection when it was looked last.
    error: Mutex<Option<String>>,
}

impl Look {
    /// Nothing is known.
    pub fn new(source: &Arc<RemoteSource>) -> Arc<Self> {
        Arc::new(Self {
            source: source.clone(),
            error: Mutex::default(),
        })
    }

    /// Looks now and then, for ever.
    pub async fn watch(self: Arc<Self>, options: Live) {
        // By then what is kept ready has opened a connection, if it could.
        let mut pause = AGAIN;
        loop {
            sleep(pause).await;
            let error = self.refusal().await;
            pause = match error {
                Some(_) => AGAIN,
                None => options.get().probe.interval,
            };
            *self.error.lock() = error;
        }
    }

    /// Why nobody takes a connection, if nobody does.
    async fn refusal(&self) -> Option<String> {
        match self.source.client.reach().await {
            // That all are in use says that it is there.
            Err(HttpError::NoConnection(error)) => {
                let fault = none_free(error);
                (fault.code == Code::NoChild).then_some(fault.message)
            }
            _ => None,
        }
    }

    /// Whether it was there when it was looked last.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn ready(&self) -> Result<(), String> {
        self.error.lock().clone().map_or(Ok(()), Err)
    }
}
