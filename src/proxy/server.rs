//! A running proxy.
//!
//! Promise: when [`Server::shutdown`] has returned, no task, descriptor or child of it is left; after a
//! plain drop they are gone as soon as the runtime and the children's own time allow.

use crate::sync::Arc;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::awake::keep_awake;
use super::config::Config;
use super::front::{Front, Reloaded, Web, watch_reach};
use super::options::ServeOptions;
use super::plain::GatewayOptions;
use super::{admin, listen, takeover};
use crate::{BoxError, CloseReport};

/// A proxy that serves until it is shut down or dropped.
pub struct Server {
    front: Arc<Front>,
    web: Option<Web>,
    /// Nowhere, where only plain HTTP is served.
    mcp: Option<SocketAddr>,
    admin: SocketAddr,
}

/// How a shutdown went.
#[derive(Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Connections whose request was cut off at the deadline.
    pub cut: usize,
    /// What the pool says of children that did not end in time.
    pub pool: CloseReport,
}

/// Why a proxy does not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The options contradict each other.
    Options(String),
    /// An address cannot be listened on.
    Listen {
        /// Which flag names it.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The pool refused its options.
    Pool(BoxError),
    /// The first child did not come up.
    Upstream(String),
}

impl Server {
    /// Serves one upstream.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O and time.
    pub async fn start(options: ServeOptions) -> Result<Self, StartError> {
        Self::open(Config::single(options)).await
    }

    /// Listens, starts the first child of each upstream, and serves.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing is left running then.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O and time.
    pub async fn open(config: Config) -> Result<Self, StartError> {
        config.check().map_err(StartError::Options)?;
        let (gateway, reuse_port) = (config.web.clone(), config.reuse_port);
        let is_shared = gateway
            .as_ref()
            .is_some_and(|web| !config.web_apart && Web::is_shared(web, config.listen));
        let mcp = match (config.upstreams.is_empty() && gateway.is_some(), is_shared) {
            (true, _) => None,
            (false, true) => Some(bind("listen", Web::inner(), false)?),
            (false, false) => Some(bind("listen", config.listen, reuse_port)?),
        };
        let admin_listener = bind("admin", config.admin, config.reuse_port)?;
        let addresses = || {
            let mcp = mcp.as_ref().map(TcpListener::local_addr).transpose()?;
            io::Result::Ok((mcp, admin_listener.local_addr()?))
        };
        let (address, admin) =
            addresses().map_err(|error| StartError::Upstream(error.to_string()))?;
        // From here on a drop, of this future too, ends what was started.
        let mut server = Self {
            front: Front::new(config)?,
            web: None,
            mcp: address,
            admin,
        };
        let front = &server.front;
        front.warm().await?;
        if let Some(options) = gateway {
            let within = address.filter(|_| is_shared);
            let log = front.access.load_full();
            let web = Web::start(options, within, &front.places(), log, reuse_port)?;
            // It is the first.
            let _ = front.web.set(web.gateway().view());
            server.web = Some(web);
            front.tasks.spawn(watch_reach(front.clone()));
        }
        let front = &server.front;
        if front.config.keep_awake {
            front.tasks.spawn(keep_awake(front.clone()));
        }
        front
            .tasks
            .spawn(admin::serve(front.clone(), admin_listener));
        if let Some(mcp) = mcp {
            front.tasks.spawn(listen::accept(front.clone(), mcp));
        }
        Ok(server)
    }

    /// Where MCP is spoken; where plain HTTP is, if that is all there is.
    pub fn mcp_address(&self) -> SocketAddr {
        match (&self.web, self.mcp) {
            (Some(web), Some(_)) if web.is_within() => web.gateway().address(),
            (Some(web), None) => web.gateway().address(),
            // One of them is there.
            (_, mcp) => mcp.unwrap_or(self.front.config.listen),
        }
    }

    /// Where plain HTTP is, if there is any.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.web.as_ref().map(|web| web.gateway().address())
    }

    /// Where the admin pages are.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Serves what this configuration says from now on, without dropping a request: what did not change keeps its
    /// children and connections, what is gone drains.
    ///
    /// # Errors
    ///
    /// What does not start, a line each; everything is as it was then. The status page shows it, too.
    ///
    /// # Cancel safety
    ///
    /// Dropped, nothing has changed.
    pub async fn reload(&self, config: Config) -> Result<Reloaded, Vec<String>> {
        let web = config.web.clone();
        let is_new = self.mcp.is_none() && !config.upstreams.is_empty();
        let mut reloaded = match self.check(&config) {
            Ok(()) => self.front.reload(config).await,
            Err(wrong) => Err(vec![wrong]),
        };
        if let Ok(done) = &mut reloaded {
            if is_new {
                done.later.push("the first upstream that speaks MCP");
            }
            if let Err(wrong) = self.reload_web(web, done) {
                reloaded = Err(vec![format!("plain HTTP stays as it was: {wrong}")]);
            }
        }
        let wrong = reloaded.as_ref().err().cloned().unwrap_or_default();
        self.front.reloads.note(wrong);
        reloaded
    }

    /// Refuses what cannot be served here.
    fn check(&self, config: &Config) -> Result<(), String> {
        config.check()?;
        match (&self.web, &config.web) {
            (Some(web), Some(options)) => {
                let checked = web.gateway().check(&options.routes);
                checked.map_err(|error| error.to_string())
            }
            _ => Ok(()),
        }
    }

    /// Every reason for which it fails was asked for before, by `check`.
    fn reload_web(
        &self,
        options: Option<GatewayOptions>,
        done: &mut Reloaded,
    ) -> Result<(), String> {
        let Some(web) = &self.web else {
            if options.is_some() {
                done.later.push("the first upstream of kind \"http\"");
            }
            return Ok(());
        };
        let started = web.gateway().options();
        let options = match options {
            Some(options) => {
                if options.listen != started.listen {
                    done.later.push("http.listen");
                }
                let threads = (options.workers, options.pin_workers);
                if threads != (started.workers, started.pin_workers) {
                    done.later.push("http.workers and http.pin_workers");
                }
                options
            }
            None => {
                if !web.is_within() {
                    done.later
                        .push("http.listen, where every request is 404 now,");
                }
                GatewayOptions {
                    routes: Vec::new(),
                    ..web.gateway().in_force()
                }
            }
        };
        let log = self.front.access.load_full();
        web.reload(options, &self.front.places(), log)
    }

    /// Notes for the admin pages that a configuration was not taken over, because of these mistakes.
    pub fn note_mistakes(&self, mistakes: Vec<String>) {
        self.front.reloads.note(mistakes);
    }

    /// How long a shutdown may take, as it is configured.
    pub fn drain(&self) -> Duration {
        self.front.drain()
    }

    /// Stops accepting, lets requests in flight end until the deadline, then ends every session, child
    /// and task. `drain_delay` comes before all that: readiness says so already, and everything is served.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, the rest is ended as by a drop of the server.
    pub async fn shutdown(mut self, deadline: Duration) -> ShutdownReport {
        self.front.announce_end();
        let delay = self.front.drain_delay();
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let begun = Instant::now();
        let mut cut = 0;
        if let Some(web) = self.web.take() {
            self.front.leave();
            let part = deadline / 2;
            cut += usize::try_from(web.shutdown(part).await.cut).unwrap_or(usize::MAX);
        }
        let left = deadline.saturating_sub(begun.elapsed());
        let (more, pool) = self.front.close(left).await;
        ShutdownReport {
            cut: cut + more,
            pool,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.front.abandon();
    }
}

fn bind(
    flag: &'static str,
    address: SocketAddr,
    reuse_port: bool,
) -> Result<TcpListener, StartError> {
    takeover::listen(address, reuse_port).map_err(|source| StartError::Listen {
        flag,
        address,
        source,
    })
}

/// What to do where an address cannot be listened on that this flag names.
fn remedy(flag: &str, source: &io::Error) -> String {
    use rustix::io::Errno;
    let key = flag.replace('-', ".");
    let named = format!("with `--{flag}` or `{key}` in the file (port 0 picks a free one)");
    match Errno::from_io_error(source) {
        Some(Errno::ADDRINUSE) => {
            format!("stop what listens there, or name another address {named}")
        }
        Some(Errno::ADDRNOTAVAIL) => format!(
            "this machine has no such address: name one that it has, or 0.0.0.0 or [::] for all, {named}"
        ),
        Some(Errno::ACCESS) => format!(
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE: grant it, or name another address {named}"
        ),
        Some(Errno::MFILE | Errno::NFILE) => String::from(
            "too many descriptors are open: raise their limit (`ulimit -n`, or `LimitNOFILE=` of systemd)",
        ),
        _ => format!("name another address {named}"),
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(reason) => f.write_str(reason),
            Self::Listen {
                flag,
                address,
                source,
            } => {
                let remedy = remedy(flag, source);
                write!(f, "cannot listen on {address}: {source}; {remedy}")
            }
            Self::Pool(reason) => write!(f, "the pool refused its options: {reason}"),
            Self::Upstream(reason) => write!(f, "the upstream does not start: {reason}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen { source, .. } => Some(source),
            Self::Pool(source) => Some(source.as_ref()),
            Self::Options(_) | Self::Upstream(_) => None,
        }
    }
}
