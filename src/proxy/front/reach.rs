//! Whether somebody listens where plain HTTP goes.
//!
//! Promise: an address that cannot be reached is told of at the start and when it happens, once each, before or
//! with the first request that needs it, and so is its return; readiness knows of it.
//! Cost: a connection to each address at the start, and one a second to those that could not be reached.

use std::collections::HashMap;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Front, web};
use crate::sync::{Arc, Mutex};
use crate::transport::http::HttpTarget;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);
/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of the addresses.
#[derive(Debug, Default)]
pub struct Reach(Mutex<HashMap<String, Known>>);

/// What is known of one.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Dials of requests that had failed when it was last looked at.
    failures: u64,
    /// Why it could not be reached.
    error: Option<String>,
}

impl Reach {
    /// Why an address could not be reached, if it could not.
    pub fn error(&self, url: &str) -> Option<String> {
        self.0.lock().get(url)?.error.clone()
    }

    /// Whether an address has to be looked at: it is new, could not be reached, or failed somebody since.
    fn is_due(&self, url: &str, failures: u64) -> bool {
        let known = self.0.lock();
        known
            .get(url)
            .is_none_or(|known| known.error.is_some() || known.failures != failures)
    }

    /// Notes a look; whether it changed what is known.
    fn note(&self, url: &str, failures: u64, error: Option<String>) -> bool {
        let now = Known { failures, error };
        let mut known = self.0.lock();
        let is_same = |before: &Known| before.error.is_some() == now.error.is_some();
        let is_news = !known.get(url).map_or(now.error.is_none(), is_same);
        known.insert(url.to_owned(), now);
        is_news
    }

    /// Forgets what is not served any more.
    fn keep(&self, urls: &[&str]) {
        self.0.lock().retain(|url, _| urls.contains(&&**url));
    }
}

/// Looks after the addresses, for ever.
pub async fn watch(front: Arc<Front>) {
    loop {
        look(&front).await;
        sleep(LOOK).await;
    }
}

async fn look(front: &Front) {
    let Some(gateway) = front.web.get() else {
        return;
    };
    let stats = gateway.stats();
    let mut looks = JoinSet::new();
    let mut urls = Vec::new();
    for upstream in web::plain(&stats) {
        for address in &upstream.addresses {
            urls.push(&*address.url);
            if front.reach.is_due(&address.url, address.connect_failures) {
                let (name, url) = (upstream.name.clone(), address.url.clone());
                let failures = address.connect_failures;
                looks.spawn(async move { (name, failures, dialled(&url).await, url) });
            }
        }
    }
    front.reach.keep(&urls);
    while let Some(looked) = looks.join_next().await {
        let Ok((name, failures, error, url)) = looked else {
            continue;
        };
        if !front.reach.note(&url, failures, error.clone()) {
            continue;
        }
        match error {
            Some(error) => tracing::warn!(
                "upstream `{name}`: {url} cannot be reached: {error}; start what listens there, or correct the address: it is tried again each second"
            ),
            None => tracing::warn!("upstream `{name}`: {url} can be reached again"),
        }
    }
}

/// Why nobody takes a connection there, if nobody does.
async fn dialled(url: &str) -> Option<String> {
    let target = match HttpTarget::parse(url) {
        Ok(target) => target,
        Err(error) => return Some(error.to_string()),
    };
    match timeout(PATIENCE, TcpStream::connect((target.host(), target.port()))).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
