//! Children that die under load, one after the other: what they take with them.

use std::fs;
use std::time::Instant;

use plunge::proxy::{Mode, ServeOptions};
use plunge::resilience::BreakerOptions;
use plunge::transport::Command;

use crate::client::{Client, initialize};
use crate::fixture::{descriptors, eventually, marker, options, processes, start_with, stats};

/// Callers at a time.
const CALLERS: usize = 8;
/// Pipes of a child, and the handle of its process.
const DESCRIPTORS: usize = 4;
/// What a process may grow by: buffers and tables that are warm after the first tenth.
const SLACK_BYTES: usize = 8 << 20;

/// Reads one line and dies of it.
fn mortal(mark: &str) -> ServeOptions {
    let command = Command::new("sh").args(["-c", "read -r line; exit 3", mark]);
    ServeOptions {
        max_connections: Some(16),
        min_idle: CALLERS as u32,
        breaker: BreakerOptions {
            failures: u32::MAX,
            least_calls: u32::MAX,
            ..BreakerOptions::default()
        },
        ..options(command, Mode::Session)
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

async fn stays_flat(test: &str, deaths: usize) {
    let mark = marker(test);
    let (server, client) = start_with(mortal(&mark)).await;
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
    server.shutdown(std::time::Duration::from_secs(10)).await;
    assert!(processes(&mark).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_deaths_leave_nothing() {
    stays_flat("mortality", 400).await;
}

/// Half a minute: `cargo test --release --features proxy --test proxy -- --ignored ten_thousand`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "half a minute of load"]
async fn ten_thousand_deaths_leave_nothing() {
    stays_flat("mortality-10k", 10_000).await;
}
