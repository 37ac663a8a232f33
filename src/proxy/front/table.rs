//! The routes.
//!
//! Promise: of routes that fit, one that names the host goes before one that does not; paths fit whole.
//! Cost: a comparison or three a route; few have more than some dozens.

use hyper::header::{HOST, HeaderMap};

use super::Place;
use crate::proxy::endpoint::Spot;
use crate::proxy::plain::bare_host;
use crate::sync::Arc;

/// All routes; replaced as a whole.
#[derive(Default)]
pub struct Table {
    places: Vec<Arc<Place>>,
    names_hosts: bool,
}

/// Where a request goes.
pub struct Found {
    /// The upstream.
    pub place: Arc<Place>,
    /// Which of its paths.
    pub spot: Spot,
}

impl Table {
    /// A table of these; those with a host first.
    pub fn new(mut places: Vec<Arc<Place>>) -> Self {
        places.sort_by_key(|place| place.config.route.host.is_none());
        Self {
            names_hosts: places.iter().any(|place| place.config.route.host.is_some()),
            places,
        }
    }

    /// The upstreams.
    pub fn places(&self) -> &[Arc<Place>] {
        &self.places
    }

    /// Where a request with this path goes.
    pub fn find(&self, headers: &HeaderMap, path: &str) -> Option<Found> {
        let host = match self.names_hosts {
            true => named_host(headers),
            false => "",
        };
        self.places.iter().find_map(|place| {
            let fits = |named: &str| named.eq_ignore_ascii_case(host);
            if !place.config.route.host.as_deref().is_none_or(fits) {
                return None;
            }
            let spot = place.paths.spot(path)?;
            let place = place.clone();
            Some(Found { place, spot })
        })
    }
}

/// The host that a request names, without its port.
fn named_host(headers: &HeaderMap) -> &str {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    bare_host(host.unwrap_or_default())
}
