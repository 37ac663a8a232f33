//! Children that die under load, one after the other: what they take with them.

use std::fs;
use std::time::{Duration, Instant};

use plunge::proxy::{Mode, ServeOptions, Server};
use plunge::resilience::BreakerOptions;
use plunge::transport::Command;
use serde_json::json;

use crate::client::{Client, initialize};
use crate::fixture::{descriptors, eventually, marker, options, processes, start_with, stats};

/// Callers at a time.
const CALLERS: usize = 8;
/// Pipes of a child, and the handle of its process.
const DESCRIPTORS: usize = 4;
/// What a process may grow by: buffers and tables that are warm after the first tenth.
const SLACK_BYTES: usize = 8 << 20;

/// Reads one line and dies of it.
fn mortal(mark: &str, mode: Mode) -> ServeOptions {
    let command = Command::new("sh").args(["-c", "read -r line; exit 3", mark]);
    ServeOptions {
        max_connections: Some(16),
        min_idle: CALLERS as u32,
        breaker: BreakerOptions {
            failures: u32::MAX,
            least_calls: u32::MAX,
            ..BreakerOptions::default()
        },
        ..options(command, mode)
    }
}

/// Answers some requests and dies of the next.
const SHORT_LIVED: &str = r#"n=0
while read -r line; do
    case $line in *'"id":'*) ;; *) continue ;; esac
    id=${line#*'"id":'}; id=${id%%,*}
    n=$((n + 1)); [ $n -le 12 ] || exit 3
    echo '{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":"2025-11-25","capabilities":{}}}'
done"#;

/// For all callers, together or in turns.
fn short_lived(mark: &str, mode: Mode) -> ServeOptions {
    let command = Command::new("sh").args(["-c", SHORT_LIVED, mark]);
    ServeOptions {
        max_connections: Some(2),
        max_in_flight: 64,
        breaker: mortal(mark, mode).breaker,
        ..options(command, mode)
    }
}

fn resident_bytes() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

async fn die(client: &Client, deaths: usize) {
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let client = client.clone();
        callers.spawn(async move {
            for _ in 0..deaths / CALLERS {
                let reply = client.post(&initialize("2025-11-25")).await;
                assert_eq!(reply.kind(), "child_died");
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
}

/// Calls until so many children died under calls; every call ends, by an answer or by name. Says how long the
/// longest took.
async fn outlive(server: &Server, client: &Client, deaths: u64) -> Duration {
    let admin = server.admin_address();
    let retired = async || stats(admin).await["pool"]["retired"].as_u64().unwrap();
    let until = retired().await + deaths;
    let mut longest = Duration::ZERO;
    while retired().await < until {
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..2 * CALLERS {
            let client = client.clone();
            callers.spawn(async move {
                let mut longest = Duration::ZERO;
                for id in 0..20 {
                    let begun = Instant::now();
                    let reply = client.call(100 * caller + id, "any", json!({})).await;
                    longest = longest.max(begun.elapsed());
                    let kind = match reply.json()["result"].is_object() {
                        true => String::from("answered"),
                        false => reply.kind(),
                    };
                    assert!(
                        ["answered", "child_died", "no_child", "busy"].contains(&&*kind),
                        "{kind}"
                    );
                }
                longest
            });
        }
        while let Some(caller) = callers.join_next().await {
            longest = longest.max(caller.unwrap());
        }
    }
    longest
}

async fn short_lived_stay_flat(test: &str, mode: Mode, deaths: u64) {
    let mark = marker(test);
    let (server, client) = start_with(short_lived(&mark, mode)).await;
    outlive(&server, &client, deaths / 10).await;
    let settled = async || {
        eventually("two children at most", || processes(&mark).len() <= 2).await;
        (descriptors(std::process::id()), resident_bytes())
    };
    let (open, resident) = settled().await;
    let longest = outlive(&server, &client, deaths - deaths / 10).await;
    let (open_after, resident_after) = settled().await;
    eprintln!(
        "{deaths} deaths under calls, the longest call took {longest:?}: {open} and {open_after} descriptors, {resident} and {resident_after} bytes"
    );
    assert!(open_after <= open + 2 * DESCRIPTORS + 4 * CALLERS);
    assert!(resident_after <= resident + SLACK_BYTES);
    drop(client);
    server.shutdown(Duration::from_secs(10)).await;
    assert!(processes(&mark).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn deaths_of_shared_children_under_calls_leave_nothing_and_no_call_open() {
    short_lived_stay_flat("shared-mortality", Mode::Shared, 200).await;
}

/// Some minutes: `cargo test --release --features proxy --test proxy -- --ignored ten_thousand`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes of load"]
async fn ten_thousand_deaths_of_shared_children_leave_nothing() {
    short_lived_stay_flat("shared-mortality-10k", Mode::Shared, 10_000).await;
}

async fn mortals_stay_flat(test: &str, mode: Mode, deaths: usize) {
    let mark = marker(test);
    let (server, client) = start_with(mortal(&mark, mode)).await;
    let settled = async |what: &str| {
        // Starts that waiters asked for may end up idle beside those that are kept ready.
        eventually(what, || (CALLERS..=16).contains(&processes(&mark).len())).await;
        (descriptors(std::process::id()), resident_bytes())
    };
    die(&client, deaths / 10).await;
    let (open, resident) = settled("as many children as before").await;
    let begun = Instant::now();
    die(&client, deaths - deaths / 10).await;
    let (open_after, resident_after) = settled("as many children as after the first tenth").await;
    eprintln!(
        "{deaths} deaths, the last nine tenths in {:.1?}: {open} and {open_after} descriptors, {resident} and {resident_after} bytes",
        begun.elapsed()
    );
    assert!(
        open_after <= open + (16 - CALLERS) * DESCRIPTORS,
        "{open} and {open_after} descriptors"
    );
    assert!(
        resident_after <= resident + SLACK_BYTES,
        "{resident} and {resident_after} bytes"
    );
    let figures = stats(server.admin_address()).await;
    assert!(
        figures["pool"]["retired"].as_u64()
            >= Some(deaths as u64 / CALLERS as u64 * CALLERS as u64)
    );
    assert_eq!(figures["sessions"], 0);
    drop(client);
    server.shutdown(Duration::from_secs(10)).await;
    assert!(processes(&mark).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_deaths_leave_nothing() {
    mortals_stay_flat("mortality", Mode::Session, 400).await;
}

/// Half a minute: `cargo test --release --features proxy --test proxy -- --ignored ten_thousand`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "half a minute of load"]
async fn ten_thousand_deaths_leave_nothing() {
    mortals_stay_flat("mortality-10k", Mode::Session, 10_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deaths_of_processes_for_one_request_leave_nothing() {
    mortals_stay_flat("oneshot-mortality", Mode::Oneshot, 400).await;
}

/// Half a minute, as above.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "half a minute of load"]
async fn ten_thousand_deaths_of_processes_for_one_request_leave_nothing() {
    mortals_stay_flat("oneshot-mortality-10k", Mode::Oneshot, 10_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deaths_of_children_with_one_request_at_a_time_leave_nothing() {
    short_lived_stay_flat("exclusive-mortality", Mode::Exclusive, 200).await;
}

/// Some minutes, as above.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes of load"]
async fn ten_thousand_deaths_of_children_with_one_request_at_a_time_leave_nothing() {
    short_lived_stay_flat("exclusive-mortality-10k", Mode::Exclusive, 10_000).await;
}
