//! The figures as Prometheus reads them: text format 0.0.4.
//!
//! Promise: every name has its help and type once, every label value is escaped, a counter goes back only when an
//! upstream was replaced, which Prometheus takes for a restart.
//! Cost: a read of every counter, some kilobytes of text.

use std::fmt::{Display, Write};

use super::plain;
use crate::PoolStats;
use crate::proxy::front::{Front, Place};
use crate::proxy::session::Extent;
use crate::resilience::BreakerState;
use crate::sync::Arc;

/// The ends of the buckets of times, as powers of two in µs: from 64 µs to 67 s.
const BUCKETS: std::ops::RangeInclusive<u32> = 6..=26;

/// All figures.
pub fn page(front: &Front) -> String {
    let mut page = Page(String::with_capacity(16 << 10));
    let places = front.places();
    process(&mut page, front);
    requests(&mut page, &places);
    subscriptions(&mut page, &places);
    pools(&mut page, &places);
    guards(&mut page, &places);
    strays(&mut page, &places);
    plain::metrics(&mut page, front);
    page.0
}

/// A name, its type and help.
pub type Family = (&'static str, &'static str, &'static str);

/// The same, and where it is read.
pub type Figure<T> = (&'static str, &'static str, &'static str, fn(&T) -> u64);

/// A text with families of figures.
pub struct Page(String);

impl Page {
    /// Begins figures of one name.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        // A write to a string does not fail.
        let _ = writeln!(
            self.0,
            "# HELP plunge_{name} {help}\n# TYPE plunge_{name} {kind}"
        );
    }

    /// One of them.
    pub fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.0, "plunge_{name}");
        for (at, (label, text)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{}\"", escaped(text));
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{after} {value}");
    }

    /// A figure alone.
    pub fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.value(name, &[], value);
    }

    /// The times of one upstream: the end of each bucket in µs with its count, and all times together.
    pub fn histogram(&mut self, name: &str, upstream: &str, times: &[(u64, u64)], sum_us: u64) {
        let bucket = format!("{name}_bucket");
        for power in BUCKETS {
            let below = times.iter().filter(|(upper, _)| *upper <= 1 << power);
            let count: u64 = below.map(|(_, count)| count).sum();
            let end = (f64::from(1_u32 << power) / 1e6).to_string();
            self.value(&bucket, &[("upstream", upstream), ("le", &end)], count);
        }
        let all: u64 = times.iter().map(|(_, count)| count).sum();
        let upstream = ("upstream", upstream);
        self.value(&bucket, &[upstream, ("le", "+Inf")], all);
        self.value(&format!("{name}_sum"), &[upstream], sum_us as f64 / 1e6);
        self.value(&format!("{name}_count"), &[upstream], all);
    }

    /// The figures of each upstream, told apart by another label.
    pub fn split<'n, U, V: Display, const N: usize>(
        &mut self,
        (name, kind, help): Family,
        label: &str,
        upstreams: impl IntoIterator<Item = U>,
        of: impl Fn(U) -> (&'n str, [(&'static str, V); N]),
    ) {
        self.family(name, kind, help);
        for upstream in upstreams {
            let (upstream, figures) = of(upstream);
            for (text, value) in figures {
                self.value(name, &[("upstream", upstream), (label, text)], value);
            }
        }
    }

    /// One figure of each upstream.
    fn each<V: Display>(
        &mut self,
        (name, kind, help): Family,
        places: &[Arc<Place>],
        of: impl Fn(&Place) -> V,
    ) {
        self.family(name, kind, help);
        for place in places {
            self.value(name, &[("upstream", &place.name)], of(place));
        }
    }
}

fn process(page: &mut Page, front: &Front) {
    let ready = u8::from(front.ready().is_ok());
    page.one(
        "ready",
        "gauge",
        "Whether some upstream serves requests.",
        ready,
    );
    let uptime = front.began.elapsed().as_secs_f64();
    page.one(
        "uptime_seconds",
        "gauge",
        "Since when the process serves.",
        uptime,
    );
    page.one(
        "cores_kept_awake",
        "gauge",
        "Whether the cores are asked not to sleep.",
        u8::from(front.keeps_awake()),
    );
    let connections = front.tasks.serving();
    page.one(
        "client_connections",
        "gauge",
        "Connections of clients.",
        connections,
    );
    let went = front.reloads.went();
    page.family(
        "config_reloads_total",
        "counter",
        "Times the configuration was read again.",
    );
    page.value(
        "config_reloads_total",
        &[("result", "success")],
        went.succeeded,
    );
    page.value(
        "config_reloads_total",
        &[("result", "failure")],
        went.failed,
    );
    let good = u8::from(went.mistakes.is_empty());
    page.one(
        "config_last_reload_successful",
        "gauge",
        "Whether the last one came into force.",
        good,
    );
    page.one(
        "access_log_dropped_total",
        "counter",
        "Lines of the access log that did not fit its queue, or could not be written.",
        front.access_counts.dropped(),
    );
}

fn requests(page: &mut Page, places: &[Arc<Place>]) {
    let answered = (
        "requests_total",
        "counter",
        "Requests that were answered, by class of status.",
    );
    page.split(answered, "class", places, |place| {
        (&*place.name, place.state.meters.by_class())
    });
    let in_flight = (
        "requests_in_flight",
        "gauge",
        "Requests whose reply is not over.",
    );
    page.each(in_flight, places, |place| place.state.meters.in_flight());
    let sent = (
        "sent_bytes_total",
        "counter",
        "Bytes of bodies that were sent to clients.",
    );
    page.each(sent, places, |place| place.state.meters.sent_bytes());
    let sessions = ("sessions", "gauge", "Sessions of clients.");
    page.each(sessions, places, |place| place.state.sessions.len());
    let replay = (
        "replay_bytes",
        "gauge",
        "What streams of sessions keep for clients that come back.",
    );
    page.each(replay, places, |place| place.state.sessions.kept.held());
    let name = "request_seconds";
    page.family(
        name,
        "histogram",
        "From the head of a request to the head of its reply.",
    );
    for place in places {
        let times = &place.state.meters.times;
        page.histogram(name, &place.name, &times.counts(), times.sum_us());
    }
}

/// Who is told of changes.
fn subscriptions(page: &mut Page, places: &[Arc<Place>]) {
    let extents: Vec<(&Place, Extent)> = places
        .iter()
        .filter_map(|place| Some((&**place, place.state.backend.extent()?)))
        .collect();
    for (name, help, of) in EXTENT_FIGURES {
        page.family(name, "gauge", help);
        for (place, extent) in &extents {
            page.value(name, &[("upstream", &place.name)], of(extent));
        }
    }
    let listening = (
        "listening",
        "gauge",
        "Open `subscriptions/listen` of clients without sessions.",
    );
    page.each(listening, places, |place| place.state.listening());
}

/// A name, its help, and where it is read.
type ExtentFigure = (&'static str, &'static str, fn(&Extent) -> usize);

const EXTENT_FIGURES: [ExtentFigure; 3] = [
    (
        "subscribed_resources",
        "Resources of shared children that sessions are subscribed to.",
        |extent| extent.resources,
    ),
    (
        "resource_subscriptions",
        "Subscriptions of sessions to them.",
        |extent| extent.subscriptions,
    ),
    (
        "untold_resources",
        "Resources among them that no child tells of now.",
        |extent| extent.untold,
    ),
];

const POOL_FIGURES: [Figure<PoolStats>; 7] = [
    (
        "pool_max_connections",
        "gauge",
        "The most at a time.",
        |pool| pool.max_connections.into(),
    ),
    (
        "pool_waiting",
        "gauge",
        "Callers in line for one.",
        |pool| pool.waiting.into(),
    ),
    (
        "pool_acquired_total",
        "counter",
        "Times one was taken.",
        |pool| pool.acquired,
    ),
    (
        "pool_opened_total",
        "counter",
        "Times one was opened.",
        |pool| pool.opened,
    ),
    (
        "pool_retired_total",
        "counter",
        "Times one was closed.",
        |pool| pool.retired,
    ),
    (
        "pool_timed_out_total",
        "counter",
        "Callers that waited for too long.",
        |pool| pool.timed_out,
    ),
    (
        "pool_connect_failures_total",
        "counter",
        "Times none could be opened.",
        |pool| pool.connect_failures,
    ),
];

fn pools(page: &mut Page, places: &[Arc<Place>]) {
    let stats: Vec<(&Place, PoolStats)> = places
        .iter()
        .map(|place| (&**place, place.state.backend.pool_stats()))
        .collect();
    let open = (
        "pool_connections",
        "gauge",
        "Children, or sessions with a server over HTTP, by state.",
    );
    page.split(open, "state", &stats, |(place, pool)| {
        let states = [
            ("idle", pool.idle),
            ("leased", pool.leased),
            ("connecting", pool.connecting),
            ("closing", pool.closing),
        ];
        (&*place.name, states)
    });
    for (name, kind, help, of) in POOL_FIGURES {
        page.family(name, kind, help);
        for (place, pool) in &stats {
            page.value(name, &[("upstream", &place.name)], of(pool));
        }
    }
}

fn guards(page: &mut Page, places: &[Arc<Place>]) {
    let states = [
        BreakerState::Closed,
        BreakerState::HalfOpen,
        BreakerState::Open,
    ];
    let breaker = (
        "breaker_state",
        "gauge",
        "1 for the state that the circuit breaker is in.",
    );
    page.split(breaker, "state", places, |place| {
        let now = place.state.backend.guard.state();
        let states = states.map(|state| (state.as_str(), u8::from(state == now)));
        (&*place.name, states)
    });
    let opened = (
        "breaker_opened_total",
        "counter",
        "Times the circuit breaker opened.",
    );
    page.each(opened, places, |place| {
        place.state.backend.guard.times_opened()
    });
    let recycled = (
        "recycled_total",
        "counter",
        "Children that had their share of requests or time, and were replaced or end with their session.",
    );
    page.split(recycled, "reason", places, |place| {
        let by_reason = place.state.backend.recycled();
        (
            &*place.name,
            by_reason.map(|(reason, count)| (reason.as_str(), count)),
        )
    });
    let ready = (
        "upstream_ready",
        "gauge",
        "Whether a request would be served.",
    );
    page.each(ready, places, |place| {
        u8::from(place.state.backend.ready().is_ok())
    });
}

/// What servers wrote that served nobody.
fn strays(page: &mut Page, places: &[Arc<Place>]) {
    let strays = (
        "stray_lines_total",
        "counter",
        "Lines of the server that are no JSON-RPC message, have bytes that are no UTF-8, answer what nobody waits for, \
         or, for any reason, reached nobody; one line may be several of them.",
    );
    page.split(strays, "kind", places, |place| {
        let by_kind = place.state.sessions.strays.counts();
        let by_kind = by_kind.map(|(stray, count)| (stray.as_str(), count));
        (&*place.name, by_kind)
    });
}

/// A label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
