//! `/readyz` says whether the next request would be served.

use std::time::{Duration, Instant};

use hyper::Method;
use plunge::proxy::{Mode, ServeOptions, Server};
use plunge::resilience::{BreakerOptions, ProbeOptions};
use plunge::transport::Command;
use serde_json::json;

use crate::client::Client;
use crate::fixture::{PATIENCE, http_options, marker, options, python, script, start_with, stats};
use crate::program::Program;
use crate::upstream::Stage;

async fn ready(server: &Server) -> u16 {
    let admin = Client::new(server.admin_address());
    let reply = admin.open(Method::GET, "/readyz", Default::default()).await;
    reply.status().as_u16()
}

/// Waits until it says this. It is looked at again and again, as balancers do: nobody is told of a change.
async fn says(server: &Server, status: u16) {
    let begun = Instant::now();
    while ready(server).await != status {
        assert!(begun.elapsed() < PATIENCE, "not {status}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_server_over_http_that_went_away_is_noticed_without_a_call_and_so_is_its_return() {
    for mode in [
        Mode::Shared,
        Mode::Stateless,
        Mode::Session,
        Mode::Exclusive,
    ] {
        let stage = Stage::open(|_| None).await;
        let address = stage.address;
        let (server, client) = start_with(ServeOptions {
            probe: ProbeOptions {
                interval: Duration::from_millis(100),
                patience: Duration::from_millis(100),
                ..ProbeOptions::default()
            },
            ..http_options(address, mode)
        })
        .await;
        assert_eq!(ready(&server).await, 200);
        drop(stage);
        says(&server, 503).await;
        let _stage = Stage::open_at(address, |_| None).await;
        says(&server, 200).await;
        let client = match mode {
            Mode::Session => client.begin().await,
            _ => client,
        };
        let begun = Instant::now();
        while client.call(1, "any", json!({})).await.status != 200 {
            assert!(begun.elapsed() < PATIENCE, "it is back");
        }
    }
}

#[tokio::test]
async fn where_no_child_is_kept_none_has_to_be_there() {
    let options = ServeOptions {
        min_idle: 0,
        // However many deaths it takes.
        breaker: BreakerOptions {
            failures: u32::MAX,
            least_calls: u32::MAX,
            ..BreakerOptions::default()
        },
        ..options(script("plunge-test", &[]), Mode::Shared)
    };
    let (server, client) = start_with(options).await;
    // It died too soon to be replaced before somebody needs it.
    let begun = Instant::now();
    while stats(server.admin_address()).await["children"] != json!([]) {
        assert!(begun.elapsed() < PATIENCE, "it is replaced each time");
        client.call(1, "die", json!({})).await;
    }
    assert_eq!(ready(&server).await, 200);
    assert_eq!(client.call(2, "echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn sessions_that_could_not_begin_are_told_of() {
    let program = std::env::temp_dir().join(marker("ready-session"));
    std::os::unix::fs::symlink(python(), &program).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxy/child.py");
    let command = Command::new(&program).arg(script);
    let (server, client) = start_with(options(command, Mode::Session)).await;
    assert_eq!(ready(&server).await, 200);
    std::fs::remove_file(&program).unwrap();
    // It takes the child that waited, and no other can be started.
    let session = client.begin().await;
    says(&server, 503).await;
    assert_eq!(session.call(1, "echo", json!({})).await.status, 200);
    std::os::unix::fs::symlink(python(), &program).unwrap();
    says(&server, 200).await;
    std::fs::remove_file(&program).unwrap();
}

#[tokio::test]
async fn a_program_that_answers_once_and_is_gone_is_told_of() {
    let program = Program::new("ready-oneshot");
    let (server, client) = start_with(options(program.command(&[]), Mode::Oneshot)).await;
    assert_eq!(ready(&server).await, 200);
    program.take_away();
    // It takes the process that waited, and no other can be started.
    client.call(1, "echo", json!({})).await;
    says(&server, 503).await;
    program.bring_back();
    says(&server, 200).await;
}

#[tokio::test]
async fn children_that_die_before_anybody_used_them_are_told_of_until_one_lives() {
    for mode in [Mode::Session, Mode::Oneshot] {
        let program = Program::new("ready-stillborn");
        let mut starts = program.replace_by_stillborn();
        let (server, client) = start_with(options(program.command(&[]), mode)).await;
        says(&server, 503).await;
        let figures = stats(server.admin_address()).await;
        let reason = figures["ready"].as_str().unwrap();
        assert!(reason.contains("before anybody used it"), "{reason}");
        // The next ones are starts that fail, so that the pool pauses longer before each.
        starts.wait_for(4).await;
        let pool = &stats(server.admin_address()).await["pool"];
        assert!(pool["connect_failures"].as_u64() >= Some(2), "{pool}");
        assert_eq!(pool["opened"], 1);
        assert_eq!(ready(&server).await, 503);
        let living = format!("#!/bin/sh\nexec {} \"$@\"\n", python());
        program.replace(&living);
        says(&server, 200).await;
        let client = match mode {
            Mode::Session => client.begin().await,
            _ => client,
        };
        assert_eq!(client.call(1, "echo", json!({})).await.status, 200);
        // It ended after it served: no start failed.
        if mode == Mode::Session {
            assert_eq!(client.call(2, "die", json!({})).await.kind(), "child_died");
        }
        assert_eq!(ready(&server).await, 200);
    }
}

#[tokio::test]
async fn who_waits_has_a_child_at_once_though_the_one_before_died_unused() {
    let program = Program::new("ready-hurried");
    // It ends unless it is asked within a second, so none outlives the one before it.
    program.replace(
        "#!/bin/sh\n(sleep 1; kill $$) </dev/null >/dev/null 2>&1 &\nread line\necho '{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}'\n",
    );
    let (server, client) = start_with(options(program.command(&[]), Mode::Oneshot)).await;
    says(&server, 503).await;
    let begun = Instant::now();
    // It may be given to somebody in its last moment.
    while !client.call(1, "any", json!({})).await.json()["result"].is_object() {
        assert!(begun.elapsed() < PATIENCE, "nobody is served");
    }
}

#[tokio::test]
async fn a_server_that_failed_too_often_is_ready_after_its_pause_though_nobody_asks() {
    let options = ServeOptions {
        min_idle: 0,
        breaker: BreakerOptions {
            failures: 1,
            cooldown: Duration::from_millis(500),
            ..BreakerOptions::default()
        },
        ..options(script("plunge-test", &[]), Mode::Session)
    };
    let (server, client) = start_with(options).await;
    let session = client.begin().await;
    let died = session.call(1, "die", json!({})).await;
    assert_eq!(died.kind(), "child_died");
    let upstream = &stats(server.admin_address()).await["upstream"];
    assert_eq!(upstream["times_opened"], 1);
    says(&server, 200).await;
    let upstream = &stats(server.admin_address()).await["upstream"];
    assert_eq!(upstream["breaker"], "half_open");
}
