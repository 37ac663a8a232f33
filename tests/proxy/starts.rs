//! Starts of children: which of those that fail open the breaker, and what one may take.

use std::time::Duration;

use plunge::proxy::{Mode, ServeOptions, Server, StartError};
use plunge::resilience::BreakerOptions;
use plunge::transport::Command;
use serde_json::json;

use crate::client::{Client, Reply, initialize, modern, modern_tool};
use crate::fixture::{http_options, options, script, start_with, stats};
use crate::upstream::Stage;

#[tokio::test]
async fn children_that_come_up_and_die_of_each_call_open_the_breaker() {
    for mode in [Mode::Stateless, Mode::Session] {
        let options = ServeOptions {
            min_idle: 0,
            breaker: BreakerOptions {
                failures: 3,
                cooldown: Duration::from_secs(60),
                ..BreakerOptions::default()
            },
            ..options(script("plunge-test", &["modern"]), mode)
        };
        let (_server, client) = start_with(options).await;
        let mut kinds = Vec::new();
        for _ in 0..4 {
            let reply = client.post_modern(&modern_tool(1, "die", json!({}))).await;
            kinds.push(reply.kind());
        }
        let expected = ["child_died", "child_died", "child_died", "circuit_open"];
        assert_eq!(kinds, expected, "{mode:?}");
    }
}

/// A proxy before an address where nobody listens, whose breaker opens soon.
async fn before_nobody(mode: Mode) -> (plunge::proxy::Server, Client) {
    let stage = Stage::open(|_| None).await;
    let address = stage.address;
    drop(stage);
    start_with(ServeOptions {
        breaker: BreakerOptions {
            failures: 3,
            cooldown: Duration::from_secs(60),
            ..BreakerOptions::default()
        },
        ..http_options(address, mode)
    })
    .await
}

#[tokio::test]
async fn starts_that_fail_open_the_breaker_whoever_waits_for_them() {
    let listed = modern(1, "tools/list", json!({}));
    let begun = initialize("2025-11-25");
    for (mode, message) in [
        (Mode::Stateless, &listed),
        (Mode::Exclusive, &listed),
        (Mode::Session, &listed),
        (Mode::Shared, &begun),
        (Mode::Exclusive, &begun),
    ] {
        let (server, client) = before_nobody(mode).await;
        let ask = async || -> Reply {
            match message["method"] == "initialize" {
                true => client.post(message).await,
                false => client.post_modern(message).await,
            }
        };
        let mut kinds = Vec::new();
        for _ in 0..5 {
            kinds.push(ask().await.kind());
        }
        let expected = [
            "no_child",
            "no_child",
            "no_child",
            "circuit_open",
            "circuit_open",
        ];
        assert_eq!(kinds, expected, "{mode:?} {message}");
        assert!(ask().await.headers.contains_key("retry-after"));
        let upstream = &stats(server.admin_address()).await["upstream"];
        assert_eq!(upstream["breaker"], "open");
    }
}

/// Has a list of tools of many pages, each of which takes its time.
const SLOW_PAGES: &str = r#"
while read -r line; do
    id=${line#*'"id":'}; id=${id%%,*}
    case $line in
        *server/discover*) result='{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}' ;;
        *tools/list*) sleep 0.2; result='{"tools":[],"nextCursor":"more"}' ;;
        *) result='{"resultType":"complete","content":[]}' ;;
    esac
    echo '{"jsonrpc":"2.0","id":'$id',"result":'$result'}'
done"#;

#[tokio::test]
async fn a_list_of_tools_that_takes_long_does_not_keep_its_child_from_serving() {
    let options = ServeOptions {
        connect_timeout: Duration::from_secs(2),
        ..options(Command::new("sh").args(["-c", SLOW_PAGES]), Mode::Stateless)
    };
    let (_server, client) = start_with(options).await;
    let reply = client.post_modern(&modern_tool(1, "any", json!({}))).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[tokio::test]
async fn an_address_that_cannot_be_listened_on_is_told_with_what_helps() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().unwrap();
    // Set aside for documents: no machine has it.
    let foreign = "192.0.2.1:0".parse().unwrap();
    for (listen, expected, is_taken) in [
        (taken, "stop what listens there", true),
        (foreign, "this machine has no such address", false),
    ] {
        let options = ServeOptions {
            listen,
            ..options(script("plunge-test", &[]), Mode::Shared)
        };
        let error = Server::start(options).await.err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains("`--listen`"), "{error}");
        assert_eq!(error.contains("stop what listens"), is_taken, "{error}");
    }
    let said = |code| {
        let (flag, address) = ("listen", taken);
        let source = std::io::Error::from_raw_os_error(code);
        let error = StartError::Listen {
            flag,
            address,
            source,
        };
        error.to_string()
    };
    const ACCESS: i32 = 13;
    for (code, expected) in [
        (ACCESS, "CAP_NET_BIND_SERVICE"),
        (24, "descriptors"),
        (23, "descriptors"),
    ] {
        let said = said(code);
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains("stop what listens"), "{said}");
    }
}
