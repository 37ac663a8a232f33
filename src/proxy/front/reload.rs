//! Other upstreams, routes and limits while requests are served.
//!
//! Promise: a request that was begun ends where it began; what did not change keeps its children, connections and
//! sessions; if anything new does not start, nothing changes at all. What is replaced or removed keeps its sessions
//! until they end, or the time to drain is over.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{Front, Place, Table};
use crate::proxy::config::{Config, UpstreamConfig};
use crate::proxy::state::AppState;
use crate::proxy::watching::AccessWriter;
use crate::sync::Arc;

/// How often a drain looks whether anything is left.
const LOOK: Duration = Duration::from_millis(50);

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// Upstreams that are as they were.
    pub kept: usize,
    /// Upstreams whose limits or routes are others.
    pub tuned: usize,
    /// Upstreams that were started.
    pub started: usize,
    /// Upstreams that drain, because they are gone or were replaced.
    pub drained: usize,
    /// What waits for a restart.
    pub later: Vec<&'static str>,
}

/// An upstream that was started for a reload; ended again unless it comes into service.
struct Fresh(Option<Arc<AppState>>);

impl Fresh {
    fn keep(mut self) -> Option<Arc<AppState>> {
        self.0.take()
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(state) = self.0.take() {
            state.abandon();
        }
    }
}

impl Front {
    /// Serves what this configuration says from now on.
    ///
    /// # Errors
    ///
    /// What does not start; everything is as it was then.
    ///
    /// # Cancel safety
    ///
    /// Dropped, nothing has changed, and what was started for it ends.
    pub async fn reload(self: &Arc<Self>, config: Config) -> Result<Reloaded, Vec<String>> {
        let _turn = self.reloading.lock().await;
        let access = AccessWriter::open(&config.log.access, &self.access_counts)
            .map_err(|error| vec![error.to_string()])?;
        let before = self.places();
        let fresh = start_fresh(&before, &config.upstreams).await?;
        // From here on nothing fails and nothing waits.
        let (places, mut reloaded) = self.rearranged(&before, &config, fresh);
        self.table.store(Arc::new(Table::new(places)));
        self.access.store(access);
        reloaded.drained = self.retire_others(&before, config.drain);
        if (config.listen, config.admin) != (self.config.listen, self.config.admin) {
            reloaded.later.push("listen and admin");
        }
        if config.log.level != self.config.log.level {
            reloaded.later.push("log.level");
        }
        if config.reuse_port != self.config.reuse_port {
            reloaded.later.push("reuse_port");
        }
        if config.keep_awake != self.config.keep_awake {
            reloaded.later.push("keep_awake");
        }
        self.set_drain(config.drain, config.drain_delay);
        Ok(reloaded)
    }

    fn rearranged(
        &self,
        before: &[Arc<Place>],
        config: &Config,
        fresh: Vec<Option<Fresh>>,
    ) -> (Vec<Arc<Place>>, Reloaded) {
        let mut reloaded = Reloaded::default();
        let mut places = Vec::with_capacity(config.upstreams.len());
        for (upstream, fresh) in config.upstreams.iter().zip(fresh) {
            let old = before.iter().find(|place| *place.name == upstream.name);
            let elders = old.map_or_else(Vec::new, |old| living(&old.elders));
            let place = match (old, fresh.and_then(Fresh::keep)) {
                (Some(old), None) if old.config == *upstream => {
                    reloaded.kept += 1;
                    places.push(old.clone());
                    continue;
                }
                (Some(old), None) => {
                    reloaded.tuned += 1;
                    old.state.tune(&upstream.options);
                    Place::new(upstream.clone(), old.state.clone(), elders)
                }
                (old, Some(state)) => {
                    reloaded.started += 1;
                    let mut elders = elders;
                    elders.extend(old.map(|old| old.state.clone()));
                    Place::new(upstream.clone(), state, elders)
                }
                // Started for each that is not there.
                (None, None) => continue,
            };
            places.push(Arc::new(place));
        }
        (places, reloaded)
    }

    /// Has whatever is no longer in the table drain; says how many.
    fn retire_others(self: &Arc<Self>, before: &[Arc<Place>], drain: Duration) -> usize {
        let now = self.places();
        let is_served =
            |state: &Arc<AppState>| now.iter().any(|place| Arc::ptr_eq(&place.state, state));
        let mut retired = 0;
        for place in before.iter().filter(|place| !is_served(&place.state)) {
            retired += 1;
            let (state, name) = (place.state.clone(), place.name.clone());
            self.retiring.lock().push(state.clone());
            let front = self.clone();
            self.tasks.spawn(async move {
                let cut = drained(&state, drain).await;
                tracing::info!(
                    upstream = &*name,
                    cut,
                    "an upstream that was replaced has ended"
                );
                front
                    .retiring
                    .lock()
                    .retain(|other| !Arc::ptr_eq(other, &state));
                front.forget(&state).await;
            });
        }
        retired
    }

    /// Lets a state that has ended go from the places that it served before a change.
    async fn forget(&self, ended: &Arc<AppState>) {
        let _turn = self.reloading.lock().await;
        let is_elder = |place: &Place| place.elders.iter().any(|elder| Arc::ptr_eq(elder, ended));
        let without = |place: Arc<Place>| match is_elder(&place) {
            true => {
                let elders = living(&place.elders);
                Arc::new(Place::new(
                    place.config.clone(),
                    place.state.clone(),
                    elders,
                ))
            }
            false => place,
        };
        let places = self.places().into_iter().map(without).collect();
        self.table.store(Arc::new(Table::new(places)));
    }
}

/// Starts what is new or cannot be changed while it serves.
async fn start_fresh(
    before: &[Arc<Place>],
    upstreams: &[UpstreamConfig],
) -> Result<Vec<Option<Fresh>>, Vec<String>> {
    let mut fresh = Vec::with_capacity(upstreams.len());
    let mut failed = Vec::new();
    let mut starts = JoinSet::new();
    for upstream in upstreams {
        let old = before.iter().find(|place| *place.name == upstream.name);
        if old.is_some_and(|old| old.can_become(&upstream.options)) {
            fresh.push(None);
            continue;
        }
        let name = upstream.name.clone();
        let state = match AppState::new(upstream.options.clone()) {
            Ok(state) => state,
            Err(error) => {
                failed.push(format!("`{name}`: {error}"));
                continue;
            }
        };
        fresh.push(Some(Fresh(Some(state.clone()))));
        state.sweep_as(&name);
        starts.spawn(async move {
            let warmed = state.backend.warm().await;
            warmed.map_err(|fault| format!("`{name}` does not start: {}", fault.message))
        });
    }
    while let Some(start) = starts.join_next().await {
        if let Ok(Err(reason)) = start {
            failed.push(reason);
        }
    }
    failed.sort();
    if failed.is_empty() {
        Ok(fresh)
    } else {
        Err(failed)
    }
}

/// Waits until nothing is left in a state, then ends it; says how many requests it cut off.
async fn drained(state: &Arc<AppState>, drain: Duration) -> u64 {
    let until = Instant::now() + drain;
    loop {
        // A request that saw the table as it was begins meanwhile.
        sleep(LOOK).await;
        let is_empty = state.meters.in_flight() == 0 && state.sessions.is_empty();
        if is_empty || Instant::now() >= until {
            break;
        }
    }
    // Who has a session opens no other here. Event streams end with their sessions.
    state.stop_taking();
    let until = Instant::now() + LOOK * 4;
    while Instant::now() < until && state.meters.in_flight() > 0 {
        sleep(LOOK / 10).await;
    }
    let cut = state.meters.in_flight();
    state.close(drain.max(Duration::from_secs(1))).await;
    cut
}

/// Those that are not closing.
fn living(states: &[Arc<AppState>]) -> Vec<Arc<AppState>> {
    let living = states.iter().filter(|state| !state.is_closing());
    living.cloned().collect()
}
