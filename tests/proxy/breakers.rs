//! What operators and clients see of a circuit breaker.

use std::sync::Arc;
use std::time::Duration;

use plunge::proxy::{Mode, ServeOptions, Server};
use plunge::resilience::BreakerOptions;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::client::Client;
use crate::fixture::{PATIENCE, http_options, start_with, stats};
use crate::operating::{figure, page};
use crate::upstream::{Act, Stage};

/// Fails at calls of `fail`, and answers those of `slow` when it is let.
async fn moody(gate: &Arc<Semaphore>) -> Stage {
    let gate = gate.clone();
    let play = move |seen: &crate::upstream::Seen| {
        let answer = || Act::json(seen.result(json!({"content": []})));
        match seen.body["params"]["name"].as_str() {
            Some("fail") => Some(Act::status(500)),
            Some("slow") => Some(Act::After(gate.clone(), Box::new(answer()))),
            _ => None,
        }
    };
    Stage::open(play).await
}

async fn guarded(stage: &Stage, cooldown: Duration) -> (Server, Client) {
    let options = ServeOptions {
        breaker: BreakerOptions {
            failures: 3,
            cooldown,
            longest_cooldown: cooldown,
            ..BreakerOptions::default()
        },
        ..http_options(stage.address, Mode::Shared)
    };
    start_with(options).await
}

async fn open(client: &Client) {
    for id in 0..3 {
        let failed = client.call(id, "fail", json!({})).await;
        assert_eq!(failed.kind(), "upstream_failed");
    }
}

/// Every page says this state and no other, and that it opened so often.
async fn pages_say(server: &Server, state: &str, opened: u64) {
    let upstream = &stats(server.admin_address()).await["upstream"];
    assert_eq!(upstream["breaker"], state);
    assert_eq!(upstream["times_opened"], opened);
    let text = page(server, "/metrics").await.2;
    for name in ["closed", "open", "half_open"] {
        let labelled = format!("plunge_breaker_state{{upstream=\"mcp\",state=\"{name}\"}}");
        let is_so = f64::from(u8::from(name == state));
        assert_eq!(figure(&text, &labelled), is_so, "{name} while {state}");
    }
    let counted = figure(&text, "plunge_breaker_opened_total{upstream=\"mcp\"}");
    assert_eq!(counted, opened as f64);
}

/// A call is refused and told when to come again.
async fn is_refused(client: &Client, seconds: &str) {
    let refused = client.call(7, "echo", json!({})).await;
    let said = refused.json();
    assert_eq!((refused.status.as_u16(), &said["id"]), (503, &json!(7)));
    assert_eq!(said["error"]["code"], -32055);
    assert_eq!(refused.kind(), "circuit_open");
    assert_eq!(refused.headers["retry-after"], seconds);
}

#[tokio::test]
async fn an_open_breaker_shows_on_every_page_and_says_for_how_long() {
    let stage = moody(&Arc::new(Semaphore::new(0))).await;
    let (server, client) = guarded(&stage, Duration::from_secs(3600)).await;
    pages_say(&server, "closed", 0).await;
    open(&client).await;
    pages_say(&server, "open", 1).await;
    is_refused(&client, "3600").await;
    assert_eq!(page(&server, "/readyz").await.0, 503);
    let upstream = &stats(server.admin_address()).await["upstream"];
    assert_eq!(upstream["rejected"], 1);
}

#[tokio::test]
async fn a_half_open_breaker_shows_on_every_page_until_its_one_call_is_answered() {
    let gate = Arc::new(Semaphore::new(0));
    let stage = moody(&gate).await;
    let (server, client) = guarded(&stage, Duration::from_millis(10)).await;
    open(&client).await;
    let probe = client.clone();
    let probe = tokio::spawn(async move {
        let begun = std::time::Instant::now();
        loop {
            let reply = probe.call(1, "slow", json!({})).await;
            if reply.status == 200 {
                return reply;
            }
            assert!(begun.elapsed() < PATIENCE, "{reply:?}");
        }
    });
    let is_slow = |seen: &crate::upstream::Seen| seen.body["params"]["name"] == "slow";
    crate::fixture::eventually("one is let in", || !stage.seen(is_slow).is_empty()).await;
    for _ in 0..10 {
        pages_say(&server, "half_open", 1).await;
        is_refused(&client, "1").await;
    }
    gate.add_permits(1);
    assert_eq!(probe.await.unwrap().json()["id"], 1);
    pages_say(&server, "closed", 1).await;
    assert_eq!(client.call(2, "echo", json!({})).await.status, 200);
    assert_eq!(stage.seen(is_slow).len(), 1);
}
