//! One upstream with the requests that go to it.

use crate::proxy::endpoint::Paths;
use crate::proxy::options::RouteMatch;
use crate::proxy::state::AppState;
use crate::sync::Arc;

/// An upstream in the table.
pub struct Place {
    /// Its name.
    pub name: Arc<str>,
    /// Which requests go to it.
    pub route: RouteMatch,
    /// Its paths.
    pub paths: Paths,
    /// What serves them.
    pub state: Arc<AppState>,
}

impl Place {
    /// An upstream with its route.
    pub fn new(name: &str, route: RouteMatch, state: Arc<AppState>) -> Self {
        Self {
            name: name.into(),
            paths: Paths::new(&route.path),
            route,
            state,
        }
    }
}
