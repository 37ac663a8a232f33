//! One upstream with the requests that go to it.

use crate::proxy::config::UpstreamConfig;
use crate::proxy::endpoint::Paths;
use crate::proxy::http::HostPolicy;
use crate::proxy::options::{ServeOptions, Upstream};
use crate::proxy::state::AppState;
use crate::sync::Arc;

/// An upstream in the table.
pub struct Place {
    /// Its name.
    pub name: Arc<str>,
    /// What it was made from.
    pub config: UpstreamConfig,
    /// Its paths.
    pub paths: Paths,
    /// Who may talk to it.
    pub policy: HostPolicy,
    /// What serves them.
    pub state: Arc<AppState>,
    /// What served them before a change, as long as sessions are left there.
    pub elders: Vec<Arc<AppState>>,
    /// Whether the trace of a request can go on behind it.
    pub passes_traces: bool,
}

impl Place {
    /// An upstream with its route.
    pub fn new(config: UpstreamConfig, state: Arc<AppState>, elders: Vec<Arc<AppState>>) -> Self {
        let options = &config.options;
        let (hosts, origins) = (&options.allowed_hosts, &options.allowed_origins);
        Self {
            name: config.name.as_str().into(),
            paths: Paths::new(&config.route.path),
            policy: HostPolicy::new(options.listen, hosts, origins),
            passes_traces: matches!(options.upstream, Upstream::Http(_)),
            state,
            elders,
            config,
        }
    }

    /// The state that serves a request which names this session, or none.
    pub fn state_for(&self, session: Option<&str>) -> &Arc<AppState> {
        let elder = session.and_then(|id| {
            let mut elders = self.elders.iter();
            elders.find(|elder| elder.sessions.knows(id))
        });
        elder.unwrap_or(&self.state)
    }

    /// Whether these options can take the place of those in force while requests are served.
    pub fn can_become(&self, options: &ServeOptions) -> bool {
        let now = &self.config.options;
        let connections = |options: &ServeOptions| {
            let times = (options.connect_timeout, options.acquire_timeout);
            (
                options.children(),
                options.max_in_flight,
                options.max_body_bytes,
                times,
            )
        };
        let is_remote = matches!(now.upstream, Upstream::Http(_));
        now.upstream == options.upstream
            && now.mode == options.mode
            && options.children() <= self.state.ceiling
            && (!is_remote || connections(now) == connections(options))
    }
}
