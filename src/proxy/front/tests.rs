//! Which request goes to which upstream.

use std::time::Duration;

use hyper::header::{HOST, HeaderMap, HeaderValue};

use super::{Front, Place, Table};
use crate::proxy::config::Config;
use crate::proxy::endpoint::Spot;
use crate::proxy::options::{HttpUpstream, Mode, RouteMatch, ServeOptions, Upstream};
use crate::proxy::state::AppState;
use crate::sync::Arc;
use crate::transport::Command;

fn place(name: &str, host: Option<&str>, path: &str) -> Arc<Place> {
    let route = RouteMatch {
        host: host.map(str::to_owned),
        path: path.to_owned(),
    };
    let options = ServeOptions::new(Upstream::Stdio(Command::new("none")), Mode::Oneshot);
    let options = ServeOptions {
        min_idle: 0,
        ..options
    };
    let mut config = Config::single(options.clone()).upstreams.remove(0);
    (config.name, config.route) = (name.to_owned(), route);
    Arc::new(Place::new(
        config,
        AppState::new(options).unwrap(),
        Vec::new(),
    ))
}

#[tokio::test]
async fn a_route_with_the_host_goes_before_one_without() {
    let table = Table::new(vec![
        place("any", None, "/mcp"),
        place("two", None, "/two"),
        place("named", Some("tools.example"), "/mcp"),
    ]);
    let cases = [
        ("localhost", "/mcp", Some(("any", Spot::Endpoint))),
        ("tools.example", "/mcp", Some(("named", Spot::Endpoint))),
        (
            "Tools.Example:8808",
            "/mcp",
            Some(("named", Spot::Endpoint)),
        ),
        ("tools.example", "/two", Some(("two", Spot::Endpoint))),
        ("localhost", "/two/sse", Some(("two", Spot::Stream))),
        ("localhost", "/two/messages", Some(("two", Spot::Posts))),
        ("localhost", "/sse", Some(("any", Spot::Stream))),
        ("localhost", "/messages", Some(("any", Spot::Posts))),
        ("localhost", "/mcp/", None),
        ("localhost", "/mcp2", None),
        ("", "/two/sse/x", None),
    ];
    for (host, path, wanted) in cases {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(host));
        let found = table.find(&headers, path);
        let found = found.as_ref().map(|found| (&*found.place.name, found.spot));
        assert_eq!(found, wanted, "{host}{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_served_before_a_change_is_let_go_once_it_has_ended() {
    let at = |port: u16| {
        let upstream = HttpUpstream::parse(&format!("http://127.0.0.1:{port}/mcp")).unwrap();
        Config::single(ServeOptions::new(Upstream::Http(upstream), Mode::Session))
    };
    let front = Front::new(at(1)).unwrap();
    let before = Arc::downgrade(&front.places()[0].state);
    let reloaded = front.reload(at(2)).await.unwrap();
    assert_eq!((reloaded.started, reloaded.drained), (1, 1));
    assert_eq!(front.places()[0].elders.len(), 1);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(front.places()[0].elders.is_empty());
    assert_eq!(before.strong_count(), 0);
    front.abandon();
}
