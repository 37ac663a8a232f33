//! Several upstreams by host and path, and other routes under load.

use crate::fixture::{Origin, Talk, ask, get, options, status, upstream};
use plunge::proxy::plain::{Gateway, GatewayError, RouteOptions};
use plunge::transport::http::HttpTarget;

fn named(text: &str) -> Origin {
    Origin::answering(format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    ))
}

fn route(origin: &Origin, host: Option<&str>, prefix: &str) -> RouteOptions {
    let mut route = RouteOptions::new(upstream(&[origin]));
    route.host = host.map(Into::into);
    route.prefix = prefix.into();
    route
}

#[test]
fn the_host_goes_before_the_prefix_and_the_longest_prefix_wins() {
    let [rest, api, deep, host, host_api] = ["rest", "api", "deep", "host", "hostapi"].map(named);
    let mut options = options(upstream(&[&rest]));
    options.routes = vec![
        route(&rest, None, "/"),
        route(&api, None, "/api"),
        route(&deep, None, "/api/deep/"),
        route(&host, Some("example.org"), "/"),
        route(&host_api, Some("example.org"), "/api"),
    ];
    let gateway = Gateway::start(options).unwrap();
    let cases = [
        ("a", "/", "rest"),
        ("a", "/apis", "rest"),
        ("a", "/api", "api"),
        ("a", "/api?x", "api"),
        ("a", "/api/x", "api"),
        ("a", "/api/deep", "api"),
        ("a", "/api/deep/x", "deep"),
        ("example.org", "/", "host"),
        ("EXAMPLE.org:80", "/api/x", "hostapi"),
        ("www.example.org", "/", "rest"),
    ];
    for (host, path, expected) in cases {
        let answer = ask(
            &gateway,
            format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"),
        );
        assert!(
            answer.ends_with(&format!("\r\n\r\n{expected}")),
            "{host}{path}: {answer}"
        );
    }
}

#[test]
fn a_request_that_no_route_fits_is_404() {
    let origin = Origin::hello();
    let mut options = options(upstream(&[&origin]));
    options.routes = vec![route(&origin, None, "/api")];
    let gateway = Gateway::start(options).unwrap();
    assert_eq!(status(&get(&gateway, "/other")), 404);
    assert_eq!(status(&get(&gateway, "/api")), 200);
}

#[test]
fn a_prefix_can_be_taken_off() {
    let origin = Origin::hello();
    let mut options = options(upstream(&[&origin]));
    options.routes = vec![RouteOptions {
        strip_prefix: true,
        ..route(&origin, None, "/api")
    }];
    let gateway = Gateway::start(options).unwrap();
    for (asked, seen) in [("/api/x?y", "/x?y"), ("/api", "/"), ("/api?z", "/?z")] {
        get(&gateway, asked);
        assert!(
            origin
                .last_head()
                .starts_with(&format!("get {seen} http/1.1\r\n")),
            "{asked}"
        );
    }
}

#[test]
fn a_request_for_the_server_as_a_whole_has_no_path_to_take_a_prefix_off() {
    let origin = Origin::hello();
    let mut options = options(upstream(&[&origin]));
    options.routes[0].strip_prefix = true;
    let gateway = Gateway::start(options).unwrap();
    ask(
        &gateway,
        "OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    );
    let head = origin.last_head();
    assert!(head.starts_with("options * http/1.1\r\n"), "{head}");
}

#[test]
fn other_routes_hold_from_the_next_request_on_and_what_is_the_same_keeps_its_connections() {
    let (one, two) = (named("one"), named("two"));
    let gateway = Gateway::start(options(upstream(&[&one]))).unwrap();
    let mut talk = Talk::to(gateway.address());
    let mut turn = |path: &str, expected: &[u8]| {
        talk.say(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
        talk.head().unwrap();
        assert_eq!(talk.bytes(3).unwrap(), expected);
    };
    turn("/", b"one");
    gateway
        .replace(&[route(&one, None, "/"), route(&two, None, "/two")])
        .unwrap();
    turn("/two", b"two");
    turn("/", b"one");
    assert_eq!(one.connections(), 1, "its connection stayed");
    let refused = gateway.replace(&[]).unwrap_err();
    assert!(matches!(refused, GatewayError::Options(_)), "{refused}");
    turn("/", b"one");
    let mut circle = route(&one, None, "/");
    circle.upstream.targets =
        vec![HttpTarget::parse(&format!("http://{}", gateway.address())).unwrap()];
    let refused = gateway.replace(&[circle]).unwrap_err().to_string();
    assert!(refused.contains("in a circle"), "{refused}");
    turn("/", b"one");
    gateway.replace(&[route(&two, None, "/")]).unwrap();
    turn("/", b"two");
    assert_eq!(gateway.stats().upstreams.len(), 1);
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let origin = Origin::hello();
    let good = options(upstream(&[&origin]));
    let mut twice = good.clone();
    twice.routes.push(twice.routes[0].clone());
    let mut relative = good.clone();
    relative.routes[0].prefix = "api".into();
    let mut nowhere = good.clone();
    nowhere.routes[0].upstream.targets.clear();
    let mut hasty = good.clone();
    hasty.client_head = std::time::Duration::ZERO;
    let mut ported = good.clone();
    ported.routes[0].host = Some("example.org:80".into());
    let mut doubled = good.clone();
    doubled.routes[0].upstream = upstream(&[&origin, &origin]);
    let mut circular = good.clone();
    circular.listen = origin.address;
    for (options, word) in [
        (twice, "two routes"),
        (relative, "begin with"),
        (nowhere, "no address"),
        (hasty, "client_head"),
        (ported, "without port"),
        (doubled, "twice"),
        (circular, "in a circle"),
    ] {
        let text = Gateway::start(options).unwrap_err().to_string();
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn an_address_in_use_is_refused_unless_it_is_to_be_shared() {
    let origin = Origin::hello();
    let first = Gateway::start(options(upstream(&[&origin]))).unwrap();
    let mut again = options(upstream(&[&origin]));
    again.listen = first.address();
    let text = Gateway::start(again.clone()).unwrap_err().to_string();
    assert!(
        text.contains("cannot listen on") && text.contains("--http-listen"),
        "{text}"
    );
    again.share_address = true;
    let second = Gateway::start(again).unwrap();
    drop(first);
    assert_eq!(status(&get(&second, "/")), 200);
}

#[test]
fn a_path_that_goes_up_does_not_leave_its_prefix() {
    let (inside, outside) = (named("in"), named("out"));
    let mut routes = options(upstream(&[&outside]));
    let mut prefixed = route(&inside, None, "/public");
    prefixed.strip_prefix = true;
    routes.routes.push(prefixed);
    let gateway = Gateway::start(routes).unwrap();
    for path in [
        "/public/../admin",
        "/public/..",
        "/public/x/%2e%2E/../admin",
        "/public/.%2e/admin",
        "/public/..%2fadmin",
        "/public/..%5cadmin",
        "/public/..;a=b/admin",
    ] {
        assert_eq!(status(&get(&gateway, path)), 400, "{path}");
    }
    for path in [
        "/public/..x",
        "/public/a..b/...",
        "/public/%2f?../..",
        "/../x",
    ] {
        assert_eq!(status(&get(&gateway, path)), 200, "{path}");
    }
}
