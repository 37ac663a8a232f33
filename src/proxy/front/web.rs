//! Plain HTTP beside MCP: the gateway's part in a proxy.
//!
//! Promise: on one address, requests for an MCP endpoint go on to it over a connection within this process, and
//! everything else to the plain upstreams.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::Place;
use super::reach::Reach;
use crate::proxy::endpoint::Paths;
use crate::proxy::plain::{
    Gateway, GatewayOptions, GatewayReport, GatewayStats, RouteOptions, UpstreamOptions,
    UpstreamStats,
};
use crate::proxy::server::StartError;
use crate::proxy::takeover;
use crate::proxy::watching::AccessWriter;
use crate::sync::Arc;
use crate::transport::http::HttpTarget;

/// How upstreams are called that are MCP endpoints of this process.
pub const WITHIN: &str = "(mcp) ";
/// Event streams of MCP may be long: it has time-outs of its own.
const ENDLESS: Duration = Duration::from_secs(30 * 24 * 3600);

/// A gateway that serves.
pub struct Web {
    gateway: Gateway,
    /// Where MCP is listened for within this process, if it is served on the same address.
    within: Option<SocketAddr>,
}

impl Web {
    /// Whether MCP is served on the same address.
    pub fn is_shared(options: &GatewayOptions, listen: SocketAddr) -> bool {
        options.listen == listen
    }

    /// Where MCP is listened for, if plain HTTP has its address.
    pub fn inner() -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
    }

    /// Starts it; `within` is where MCP is, if it is to be served on the same address.
    ///
    /// # Errors
    ///
    /// An address that cannot be listened on, or a thread that cannot be started.
    pub fn start(
        mut options: GatewayOptions,
        within: Option<SocketAddr>,
        places: &[Arc<Place>],
        log: Option<Arc<AccessWriter>>,
        reuse_port: bool,
    ) -> Result<Self, StartError> {
        let refused = |flag, source| StartError::Listen {
            flag,
            address: options.listen,
            source,
        };
        let flag = if within.is_some() {
            "listen"
        } else {
            "http-listen"
        };
        let listeners = takeover::listen_each(options.listen, options.workers.get(), reuse_port);
        let listeners = listeners.map_err(|source| refused(flag, source))?;
        options.routes = routes(&options.routes, within, places);
        options.share_address = reuse_port;
        let gateway = Gateway::start_logged(options, listeners, log)
            .map_err(|error| StartError::Upstream(error.to_string()))?;
        Ok(Self { gateway, within })
    }

    /// Whether MCP is served on its address.
    pub fn is_within(&self) -> bool {
        self.within.is_some()
    }

    /// The gateway.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Serves these upstreams by these limits from now on.
    ///
    /// # Errors
    ///
    /// Options that contradict each other.
    pub fn reload(
        &self,
        mut options: GatewayOptions,
        places: &[Arc<Place>],
        log: Option<Arc<AccessWriter>>,
    ) -> Result<(), String> {
        options.routes = routes(&options.routes, self.within, places);
        let reloaded = self.gateway.reload(&options, log);
        reloaded.map_err(|error| error.to_string())
    }

    /// Leaves the address, and lets requests under way end until the deadline.
    pub async fn shutdown(self, deadline: Duration) -> GatewayReport {
        self.gateway.shutdown(deadline).await
    }
}

fn routes(
    plain: &[RouteOptions],
    within: Option<SocketAddr>,
    places: &[Arc<Place>],
) -> Vec<RouteOptions> {
    let mut routes = plain.to_vec();
    let target = within.and_then(|address| HttpTarget::parse(&format!("http://{address}")).ok());
    let Some(target) = target else {
        return routes;
    };
    for place in places {
        let mut upstream =
            UpstreamOptions::new(format!("{WITHIN}{}", place.name), vec![target.clone()]);
        // It is there as long as this process is.
        upstream.breaker.failures = u32::MAX;
        upstream.breaker.failure_percent = 100;
        upstream.max_connections = 65_535;
        let times = &mut upstream.timeouts;
        (times.request, times.idle) = (ENDLESS, ENDLESS);
        (times.response, times.overall) = (ENDLESS, ENDLESS);
        let Paths {
            endpoint,
            stream,
            posts,
        } = &place.paths;
        for path in [endpoint, stream, posts] {
            let mut route = RouteOptions::new(upstream.clone());
            route.host.clone_from(&place.config.route.host);
            route.prefix.clone_from(path);
            if !routes
                .iter()
                .any(|other| other.host == route.host && other.prefix == route.prefix)
            {
                routes.push(route);
            }
        }
    }
    routes
}

/// The plain upstreams, with their addresses.
pub fn plain(stats: &GatewayStats) -> impl Iterator<Item = &UpstreamStats> {
    let upstreams = stats.upstreams.iter();
    upstreams.filter(|upstream| !upstream.name.starts_with(WITHIN))
}

/// Whether a request would be sent to one of its addresses, and somebody listens there.
///
/// # Errors
///
/// Why not.
pub fn ready(upstream: &UpstreamStats, workers: usize, reach: &Reach) -> Result<(), String> {
    let mut reasons = Vec::new();
    for address in &upstream.addresses {
        let url = &address.url;
        match reach.error(&upstream.name, url) {
            Some(error) => reasons.push(format!("{url} cannot be reached: {error}")),
            None if (address.ejected_by as usize) < workers => return Ok(()),
            None => {
                let last = address.last_connect_error.as_deref();
                let last = last.map_or_else(String::new, |last| format!(": {last}"));
                reasons.push(format!("{url} failed too often lately{last}"));
            }
        }
    }
    Err(reasons.join("; "))
}
