//! Whether somebody listens where plain HTTP goes.
//!
//! Promise: an address that cannot be reached is told of at the start and when it happens, once each, before or
//! with the first request that needs it, and so is its return; readiness knows of it.
//! Cost: a connection to each address at the start, and one a second to those that could not be reached.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Front, web};
use crate::sync::{Arc, Mutex};
use crate::transport::http::HttpTarget;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

/// What is known of the addresses.
#[derive(Debug, Default)]
pub struct Reach(Mutex<HashMap<Address, Known>>);

/// An upstream and the URL of one of its addresses. Two upstreams with one URL count their failures apart.
type Address = (String, String);

/// What is known of one.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Dials of requests that had failed when it was last looked at.
    failures: u64,
    /// Why it could not be reached.
    error: Option<String>,
}

/// A look at one.
struct Looked {
    address: Address,
    failures: u64,
    error: Option<String>,
}

impl Reach {
    /// Why an address could not be reached, if it could not.
    pub fn error(&self, upstream: &str, url: &str) -> Option<String> {
        let address = (upstream.to_owned(), url.to_owned());
        self.0.lock().get(&address)?.error.clone()
    }

    /// Whether an address has to be looked at: it is new, could not be reached, or failed somebody since.
    fn is_due(&self, address: &Address, failures: u64) -> bool {
        let known = self.0.lock();
        known
            .get(address)
            .is_none_or(|known| known.error.is_some() || known.failures != failures)
    }

    /// Notes a look; whether it changed what is known.
    fn note(&self, looked: &Looked) -> bool {
        let now = Known {
            failures: looked.failures,
            error: looked.error.clone(),
        };
        let mut known = self.0.lock();
        let is_same = |before: &Known| before.error.is_some() == now.error.is_some();
        let is_news = !known
            .get(&looked.address)
            .map_or(now.error.is_none(), is_same);
        known.insert(looked.address.clone(), now);
        is_news
    }

    /// Forgets what is not served any more.
    fn keep(&self, addresses: &HashSet<Address>) {
        let mut known = self.0.lock();
        known.retain(|address, _| addresses.contains(address));
    }
}

/// Looks after the addresses, for ever. One that takes its time keeps no other from being looked at.
pub async fn watch(front: Arc<Front>) {
    let (mut looks, mut under_way) = (JoinSet::new(), HashSet::new());
    loop {
        let served = begin(&front, &mut looks, &mut under_way);
        let pause = sleep(LOOK);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                Some(Ok(looked)) = looks.join_next() => {
                    under_way.remove(&looked.address);
                    // It may be gone by now.
                    if served.contains(&looked.address) {
                        note(&front, &looked);
                    }
                }
            }
        }
    }
}

/// Begins to look at those that have to be looked at; returns all.
fn begin(
    front: &Front,
    looks: &mut JoinSet<Looked>,
    under_way: &mut HashSet<Address>,
) -> HashSet<Address> {
    let mut addresses = HashSet::new();
    let Some(gateway) = front.web.get() else {
        return addresses;
    };
    let (stats, routes) = (gateway.stats(), gateway.routes());
    for upstream in web::plain(&stats) {
        let mut routes = routes.iter().map(|route| &route.upstream);
        let options = routes.find(|options| options.name == upstream.name);
        for one in &upstream.addresses {
            let (address, failures) = (
                (upstream.name.clone(), one.url.clone()),
                one.connect_failures,
            );
            addresses.insert(address.clone());
            if let Some(options) = options
                && front.reach.is_due(&address, failures)
                && under_way.insert(address.clone())
            {
                let patience = options.timeouts.connect;
                looks.spawn(async move {
                    let error = dialled(&address.1, patience).await;
                    Looked {
                        address,
                        failures,
                        error,
                    }
                });
            }
        }
    }
    front.reach.keep(&addresses);
    addresses
}

fn note(front: &Front, looked: &Looked) {
    if !front.reach.note(looked) {
        return;
    }
    let (name, url) = &looked.address;
    match &looked.error {
        Some(error) => tracing::warn!(
            "upstream `{name}`: {url} cannot be reached: {error}; start what listens there, or correct the address: it is tried again each second"
        ),
        None => tracing::warn!("upstream `{name}`: {url} can be reached again"),
    }
}

/// Why nobody takes a connection there in time, if nobody does.
async fn dialled(url: &str, patience: Duration) -> Option<String> {
    let target = match HttpTarget::parse(url) {
        Ok(target) => target,
        Err(error) => return Some(error.to_string()),
    };
    match timeout(patience, TcpStream::connect((target.host(), target.port()))).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {patience:?}")),
    }
}

#[cfg(test)]
#[path = "reach_tests.rs"]
mod tests;
