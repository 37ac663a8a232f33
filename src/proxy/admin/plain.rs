//! The figures of plain HTTP.

use serde_json::{Value, json};

use super::metrics::{Figure, Page};
use super::stats::{replies, times};
use crate::proxy::front::{Front, Reach, plain, web_ready};
use crate::proxy::plain::{AddressStats, GatewayStats, GatewayView, RouteOptions, UpstreamStats};
use crate::proxy::watching::classes;

/// What is counted of all of it; nothing, where there is none.
pub fn total(front: &Front) -> Value {
    let Some(gateway) = front.web.get() else {
        return Value::Null;
    };
    let stats = gateway.stats();
    json!({
        "clients": stats.clients,
        "max_clients": stats.max_clients,
        "accepted": stats.accepted,
        "waited": stats.waited,
        "requests": stats.requests,
        "answers": replies(classes(&stats.answers)),
        "refused": stats.refused,
        "broken": stats.broken,
        "switched": stats.switched,
    })
}

/// Each upstream.
pub fn upstreams(front: &Front) -> Vec<Value> {
    let Some(gateway) = front.web.get() else {
        return Vec::new();
    };
    let (stats, routes) = (gateway.stats(), gateway.routes());
    let of = |stats: &UpstreamStats| {
        let mut routes = routes.iter();
        let route = routes.find(|route| route.upstream.name == stats.name);
        upstream(stats, route, gateway, &front.reach)
    };
    plain(&stats).map(of).collect()
}

fn upstream(
    stats: &UpstreamStats,
    route: Option<&RouteOptions>,
    gateway: &GatewayView,
    reach: &Reach,
) -> Value {
    let UpstreamStats {
        name,
        addresses,
        answers,
        ..
    } = stats;
    let sum = |of: fn(&AddressStats) -> u64| addresses.iter().map(of).sum::<u64>();
    let (open, leased) = (sum(|one| one.open.into()), sum(|one| one.leased.into()));
    let ready = web_ready(stats, gateway.workers(), reach);
    let limit = route.map_or(0, |route| {
        let lanes = addresses.len() as u64 * gateway.workers() as u64;
        u64::from(route.upstream.max_connections) * lanes
    });
    let last = addresses
        .iter()
        .find_map(|one| one.last_connect_error.clone());
    json!({
        "name": name,
        "kind": "http",
        "path": route.map(|route| &route.prefix),
        "host": route.and_then(|route| route.host.as_ref()),
        "ready": ready.err().map_or(json!(true), |reason| json!(reason)),
        "requests": sum(|one| one.requests),
        "failures": sum(|one| one.failures),
        "in_flight": sum(|one| one.in_flight.into()),
        "ejections": sum(|one| one.ejections),
        "sent_bytes": answers.sent_bytes,
        "replies": replies(classes(&answers.answers)),
        "times": times(&answers.times, answers.sum_us),
        "pool": {
            "open": open,
            "leased": leased,
            "idle": open.saturating_sub(leased),
            "waiting": sum(|one| one.waiting.into()),
            "max_connections": limit,
            "opened": sum(|one| one.opened),
            "connect_failures": sum(|one| one.connect_failures),
            "last_connect_error": last,
        },
        "addresses": addresses.iter().map(|one| address(one, reach.error(name, &one.url))).collect::<Vec<_>>(),
    })
}

fn address(one: &AddressStats, unreachable: Option<String>) -> Value {
    json!({
        "url": one.url,
        "unreachable": unreachable,
        "in_flight": one.in_flight,
        "requests": one.requests,
        "failures": one.failures,
        "ejected_by": one.ejected_by,
        "ejections": one.ejections,
        "open": one.open,
        "leased": one.leased,
        "waiting": one.waiting,
        "last_connect_error": one.last_connect_error,
    })
}

const FIGURES: [Figure<AddressStats>; 9] = [
    (
        "http_upstream_requests_total",
        "counter",
        "Exchanges begun.",
        |one| one.requests,
    ),
    (
        "http_upstream_failures_total",
        "counter",
        "Exchanges that failed.",
        |one| one.failures,
    ),
    (
        "http_upstream_in_flight",
        "gauge",
        "Requests under way.",
        |one| one.in_flight.into(),
    ),
    (
        "http_upstream_connections",
        "gauge",
        "Connections that are open.",
        |one| one.open.into(),
    ),
    (
        "http_upstream_connections_leased",
        "gauge",
        "Of these, in use.",
        |one| one.leased.into(),
    ),
    (
        "http_upstream_waiting",
        "gauge",
        "Requests in line for a connection.",
        |one| one.waiting.into(),
    ),
    (
        "http_upstream_connect_failures_total",
        "counter",
        "Dials that failed.",
        |one| one.connect_failures,
    ),
    (
        "http_upstream_ejected_by",
        "gauge",
        "Workers that leave the address alone.",
        |one| one.ejected_by.into(),
    ),
    (
        "http_upstream_ejections_total",
        "counter",
        "Times one began to.",
        |one| one.ejections,
    ),
];

/// The same for Prometheus.
pub fn metrics(page: &mut Page, front: &Front) {
    let Some(gateway) = front.web.get() else {
        return;
    };
    let stats = gateway.stats();
    page.one(
        "http_clients",
        "gauge",
        "Connections of clients of plain HTTP.",
        stats.clients,
    );
    page.one(
        "http_max_clients",
        "gauge",
        "The most at a time; more wait.",
        stats.max_clients,
    );
    page.one(
        "http_clients_waited_total",
        "counter",
        "Those that had to wait for another one to leave.",
        stats.waited,
    );
    let name = "http_requests_total";
    page.family(
        name,
        "counter",
        "Answers of plain HTTP by class of status; MCP on the same address is among them.",
    );
    for (class, count) in classes(&stats.answers) {
        page.value(name, &[("class", class)], count);
    }
    page.one(
        "http_refused_total",
        "counter",
        "Requests that the proxy answered itself.",
        stats.refused,
    );
    page.one(
        "http_broken_total",
        "counter",
        "Exchanges that were cut off in the middle.",
        stats.broken,
    );
    answers(page, &stats);
    for (name, kind, help, of) in FIGURES {
        page.family(name, kind, help);
        for upstream in plain(&stats) {
            for address in &upstream.addresses {
                let labels = [
                    ("upstream", upstream.name.as_str()),
                    ("address", address.url.as_str()),
                ];
                page.value(name, &labels, of(address));
            }
        }
    }
}

/// What the clients of each upstream were answered, and when.
fn answers(page: &mut Page, stats: &GatewayStats) {
    let answered = (
        "http_upstream_answers_total",
        "counter",
        "Answers to the requests of an upstream by class of status, those of the proxy itself too.",
    );
    page.split(answered, "class", plain(stats), |upstream| {
        (&*upstream.name, classes(&upstream.answers.answers))
    });
    let name = "http_upstream_sent_bytes_total";
    page.family(
        name,
        "counter",
        "Bytes of bodies that were sent to clients.",
    );
    for upstream in plain(stats) {
        page.value(
            name,
            &[("upstream", &upstream.name)],
            upstream.answers.sent_bytes,
        );
    }
    let name = "http_upstream_seconds";
    page.family(
        name,
        "histogram",
        "From the head of a request to the head of its answer.",
    );
    for upstream in plain(stats) {
        let answers = &upstream.answers;
        page.histogram(name, &upstream.name, &answers.times, answers.sum_us);
    }
}
