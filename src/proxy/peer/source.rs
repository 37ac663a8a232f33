//! Where peers come from.

use std::time::Duration;

use super::Peer;
use crate::proxy::guard::Guard;
use crate::proxy::http::ToolHeaders;
use crate::proxy::options::{ServeOptions, Upstream};
use crate::proxy::remote::{Remote, RemoteSource};
use crate::sync::Arc;
use crate::transport::{Command, Subprocess};
use crate::{BoxError, PoolStats};

/// Opens peers of one upstream; clones open them from the same one.
#[derive(Clone)]
pub enum PeerSource {
    /// Starts children.
    Command(Arc<Command>),
    /// Begins sessions over HTTP, on connections that are pooled here.
    Http(Arc<RemoteSource>),
}

impl PeerSource {
    /// The source of an upstream. Nothing is opened yet.
    ///
    /// # Errors
    ///
    /// That of the pool's options.
    pub fn new(
        options: &ServeOptions,
        tools: &Arc<ToolHeaders>,
        guard: &Arc<Guard>,
    ) -> Result<Self, BoxError> {
        Ok(match &options.upstream {
            Upstream::Stdio(command) => Self::Command(Arc::new(command.clone())),
            Upstream::Http(upstream) => {
                let source = RemoteSource::new(upstream, options, tools, guard)?;
                Self::Http(Arc::new(source))
            }
        })
    }

    /// Opens one.
    ///
    /// # Errors
    ///
    /// Why it cannot be started or reached.
    pub async fn open(&self) -> Result<Peer, BoxError> {
        match self {
            Self::Command(command) => Ok(Peer::Child(Subprocess::spawn(&**command).await?)),
            Self::Http(source) => Ok(Peer::Remote(Remote::open(source).await?)),
        }
    }

    /// Whether opening one starts a process, which takes its time.
    pub fn starts_processes(&self) -> bool {
        matches!(self, Self::Command(_))
    }

    /// The figures of the connections, where there are any.
    pub fn connections(&self) -> Option<PoolStats> {
        match self {
            Self::Command(_) => None,
            Self::Http(source) => Some(source.client.pool_stats()),
        }
    }

    /// Closes the connections, once every session's end was told or the time is over; peers have to be closed before.
    pub async fn close(&self, deadline: Duration) {
        if let Self::Http(source) = self {
            source.close(deadline).await;
        }
    }
}
