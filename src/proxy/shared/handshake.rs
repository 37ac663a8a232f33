//! A child that was initialized by the proxy and may serve everybody.
//!
//! Promise: what comes out of [`Handshaken::start`] has answered; a start that fails or is dropped
//! leaves no process.

use crate::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::hello::Hello;
use super::router::ChildRouter;
use crate::proxy::call::{Call, Flight, Owner, Step};
use crate::proxy::http::Version;
use crate::proxy::options::ServeOptions;
use crate::proxy::wire::RawId;
use crate::resilience::{Deadline, Timeouts};
use crate::transport::{Command, Subprocess};
use crate::{BoxError, PoolableResource};

/// The pooled resource of `shared` mode.
pub struct Handshaken {
    /// The child.
    pub process: Subprocess,
    /// Where its lines go.
    pub router: Arc<ChildRouter>,
    /// What it said of itself.
    pub hello: Arc<Hello>,
}

impl Handshaken {
    /// Starts a child and initializes it. The pool's connect time-out bounds it.
    ///
    /// # Errors
    ///
    /// That of the start, or what was wrong with the child's answer.
    pub async fn start(
        command: &Command,
        router: ChildRouter,
        options: &ServeOptions,
    ) -> Result<Self, BoxError> {
        let process = Subprocess::spawn(command).await?;
        let router = Arc::new(router);
        // In this order: a child that is dead already takes the writer away when it is attached.
        router.answer_by(process.writer());
        process.attach(router.clone());
        let flight = Flight::new(RawId::new("0"), None, Owner::Nobody, false);
        let id = router
            .flights
            .insert(&flight, patient(options))
            .map_err(|_| "the server process ended at once")?;
        let mut call = Call::new(flight);
        process.writer().write(initialize(id)).await?;
        let answer = match call.step().await {
            Step::Answer { message, .. } | Step::Related(message) => message,
            Step::Fault(fault) => return Err(fault.message.into()),
        };
        let hello = Hello::read(&answer).map_err(|reason| {
            format!("the server process does not speak MCP as needed: {reason}")
        })?;
        process
            .writer()
            .write(Bytes::from_static(INITIALIZED))
            .await?;
        Ok(Self {
            process,
            router,
            hello: Arc::new(hello),
        })
    }
}

/// The pool's own time-out is the one that counts.
fn patient(options: &ServeOptions) -> Deadline {
    let limits = Timeouts {
        request: options.connect_timeout,
        ..options.timeouts()
    };
    Deadline::new(&limits, Instant::now())
}

const INITIALIZED: &[u8] = b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}";

fn initialize(id: u64) -> Bytes {
    let (version, own) = (Version::LATEST.as_str(), env!("CARGO_PKG_VERSION"));
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"initialize\",\"params\":{{\"protocolVersion\":\"{version}\",\
         \"capabilities\":{{}},\"clientInfo\":{{\"name\":\"plunge\",\"version\":\"{own}\"}}}}}}"
    )
    .into()
}

impl PoolableResource for Handshaken {
    fn is_healthy(&self) -> bool {
        self.process.is_healthy() && !self.router.is_stained()
    }

    async fn close(self) {
        self.process.close().await;
    }
}
