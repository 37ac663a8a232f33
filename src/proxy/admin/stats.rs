//! The figures of a running proxy, as JSON.

use crate::sync::{Arc, AtomicU64, Ordering};

use serde_json::{Map, Value, json};

use super::plain;
use crate::PoolStats;
use crate::proxy::backend::Way;
use crate::proxy::front::{Front, Place};
use crate::proxy::options::Upstream;
use crate::proxy::session::OwnedChild;
use crate::proxy::shared::SharedChild;
use crate::proxy::state::{AppState, Counts};
use crate::proxy::watching::{Classes, percentile};
use crate::transport::LineCounters;

/// A snapshot; its parts are read one after the other. The figures of a lone upstream are on top, too.
pub fn snapshot(front: &Front) -> Value {
    let places = front.places();
    let of = |count: fn(&Counts) -> &AtomicU64| {
        let places = places.iter().map(|place| read(count(&place.state.counts)));
        places.sum::<u64>() + read(count(&front.counts))
    };
    let mut top = Map::new();
    if let [place] = &places[..] {
        top.extend(upstream(place));
    }
    let sessions: usize = places.iter().map(|place| place.state.sessions.len()).sum();
    let mcp = places.iter().map(|place| Value::Object(upstream(place)));
    let upstreams: Vec<_> = mcp.chain(plain::upstreams(front)).collect();
    let uptime = front.began.elapsed().as_millis();
    let figures = json!({
        "uptime_ms": u64::try_from(uptime).unwrap_or(u64::MAX),
        "closing": front.is_closing(),
        "requests": of(|counts| &counts.requests),
        "faults": of(|counts| &counts.faults),
        "connections": front.tasks.serving(),
        "sessions": sessions,
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "ready": front.ready().err().map_or(json!(true), |reason| json!(reason)),
        "cores_kept_awake": front.keeps_awake(),
        "retiring": front.retiring().len(),
        "reloads": reloads(front),
        "access_log_dropped": front.access_counts.dropped(),
        "upstreams": upstreams,
        "http": plain::total(front),
    });
    if let Value::Object(figures) = figures {
        top.extend(figures);
    }
    Value::Object(top)
}

/// Replies by class of status.
pub fn replies(by_class: Classes) -> Map<String, Value> {
    let by_class = by_class.into_iter();
    by_class
        .map(|(class, count)| (class.to_owned(), json!(count)))
        .collect()
}

/// Times from the head of a request to the head of its reply, since the start; `buckets` has the end of each in
/// µs and its count.
pub fn times(buckets: &[(u64, u64)], sum_us: u64) -> Value {
    json!({
        "p50_us": percentile(buckets, 50.0),
        "p95_us": percentile(buckets, 95.0),
        "p99_us": percentile(buckets, 99.0),
        "sum_us": sum_us,
        "buckets": buckets,
    })
}

fn reloads(front: &Front) -> Value {
    let went = front.reloads.went();
    json!({
        "succeeded": went.succeeded,
        "failed": went.failed,
        "last_at": went.last_at,
        "mistakes": went.mistakes,
    })
}

/// The figures of one upstream.
fn upstream(place: &Place) -> Map<String, Value> {
    let state = &place.state;
    let pool = state.backend.pool_stats();
    let children = match &state.backend.way {
        Way::Session(_) => owned(state),
        Way::Shared(group) => shared(&group.children()),
        Way::Exclusive(children) => shared(&children.children()),
        Way::Oneshot(children) => {
            let busy = children.children();
            busy.iter().map(|child| owned_child(child)).collect()
        }
    };
    let (options, meters) = (state.options.get(), &state.meters);
    let upstream = match &options.upstream {
        Upstream::Stdio(_) => "mcp-stdio",
        Upstream::Http(_) => "mcp-http",
    };
    let figures = json!({
        "name": &*place.name,
        "path": place.config.route.path,
        "host": place.config.route.host,
        "ready": state.backend.ready().err().map_or(json!(true), |reason| json!(reason)),
        "kind": upstream,
        "mode": options.mode.as_str(),
        "in_flight": meters.in_flight(),
        "sent_bytes": meters.sent_bytes(),
        "replies": replies(meters.by_class()),
        "times": times(&meters.times.counts(), meters.times.sum_us()),
        "elders": place.elders.iter().filter(|elder| !elder.is_closing()).count(),
        "requests": read(&state.counts.requests),
        "faults": read(&state.counts.faults),
        "sessions": state.sessions.len(),
        "replay_bytes": state.sessions.kept.held(),
        "upstream": state.backend.guard.snapshot(),
        "recycled": recycled(state),
        "strays": strays(state),
        "subscribed": subscribed(state),
        "pool": pool_figures(&pool),
        "connections_upstream": state.backend.source.connections().as_ref().map(pool_figures),
        "children": children,
        "stateless_children": state.backend.beside_children().as_deref().map(shared),
    });
    match figures {
        Value::Object(figures) => figures,
        _ => Map::new(),
    }
}

/// Who is told of changes: sessions by resource, where children are shared, and those who listen without a session.
fn subscribed(state: &AppState) -> Value {
    let extent = state.backend.extent();
    json!({
        "resources": extent.map(|extent| extent.resources),
        "subscriptions": extent.map(|extent| extent.subscriptions),
        "untold": extent.map(|extent| extent.untold),
        "listening": state.listening(),
    })
}

/// Children that were replaced though they worked, by reason.
fn recycled(state: &AppState) -> Map<String, Value> {
    let by_reason = state.backend.recycled().into_iter();
    by_reason
        .map(|(reason, count)| (reason.as_str().to_owned(), json!(count)))
        .collect()
}

/// Lines of the server that served nobody, by kind.
fn strays(state: &AppState) -> Map<String, Value> {
    let by_kind = state.sessions.strays.counts().into_iter();
    by_kind
        .map(|(stray, count)| (stray.as_str().to_owned(), json!(count)))
        .collect()
}

fn shared(children: &[Arc<SharedChild>]) -> Vec<Value> {
    let of = |child: &Arc<SharedChild>| {
        json!({
            "pid": child.pid(),
            "in_flight": child.load(),
            "listening": child.listening(),
            "alive": child.is_alive(),
            "due": child.is_due(),
            "dropped_lines": child.dropped(),
            "wrote": child.counters().map(wrote),
        })
    };
    children.iter().map(of).collect()
}

/// What a child wrote beside answers.
fn wrote(lines: LineCounters) -> Value {
    json!({
        "lines": lines.lines,
        "not_json": lines.not_json,
        "invalid_utf8": lines.invalid_utf8,
        "too_long": lines.too_long,
        "stderr_lines": lines.stderr_lines,
        "stderr_suppressed": lines.stderr_suppressed,
    })
}

fn owned(state: &AppState) -> Vec<Value> {
    let owners = state.sessions.owners();
    owners
        .iter()
        .filter_map(|session| session.child())
        .map(owned_child)
        .collect()
}

fn owned_child(child: &OwnedChild) -> Value {
    json!({
        "pid": child.pid(),
        "in_flight": child.routes.in_flight(),
        "dropped_lines": child.routes.heard.dropped(),
        "wrote": child.counters().map(wrote),
    })
}

fn pool_figures(pool: &PoolStats) -> Value {
    json!({
        "open": pool.open,
        "idle": pool.idle,
        "leased": pool.leased,
        "connecting": pool.connecting,
        "closing": pool.closing,
        "waiting": pool.waiting,
        "max_connections": pool.max_connections,
        "acquired": pool.acquired,
        "opened": pool.opened,
        "retired": pool.retired,
        "timed_out": pool.timed_out,
        "connect_failures": pool.connect_failures,
        "found_dead": pool.found_dead,
        "last_connect_error": pool.last_connect_error,
    })
}

fn read(counter: &AtomicU64) -> u64 {
    // Relaxed: a count for a page.
    counter.load(Ordering::Relaxed)
}
