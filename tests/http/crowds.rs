//! As many clients as may come, and one more.

use std::time::Duration;

use plunge::proxy::plain::Gateway;

use crate::fixture::{Origin, Talk, eventually, options, status, upstream};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn crowded(origin: &Origin) -> Gateway {
    let mut options = options(upstream(&[origin]));
    options.max_clients = 1;
    // How often a connection looks at its limits.
    options.client_head = Duration::from_millis(100);
    Gateway::start(options).unwrap()
}

#[test]
fn who_is_idle_makes_room_for_who_waits() {
    let origin = Origin::hello();
    let gateway = crowded(&origin);
    let mut first = Talk::to(gateway.address());
    first.say(GET);
    assert_eq!(status(&first.head().unwrap()), 200);
    first.bytes(5).unwrap();
    let mut second = Talk::to(gateway.address());
    second.say(GET);
    assert_eq!(status(&second.head().unwrap()), 200);
    assert_eq!(first.rest(), "", "it was told to go");
    let stats = gateway.stats();
    assert_eq!((stats.max_clients, stats.waited), (1, 1));
}

#[test]
fn who_is_busy_makes_no_room_and_who_waits_is_counted() {
    let origin = Origin::scripted(|talk, number| {
        talk.head();
        talk.say("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe");
        // The first one never gets the rest.
        if number > 0 {
            talk.say("llo");
        }
        talk.rest();
    });
    let gateway = crowded(&origin);
    let mut first = Talk::to(gateway.address());
    first.say(GET);
    assert_eq!(status(&first.head().unwrap()), 200);
    let mut second = Talk::to(gateway.address());
    second.say(GET);
    eventually("it waits", || gateway.stats().waited == 1);
    assert_eq!(gateway.stats().clients, 1);
    drop(first);
    assert_eq!(status(&second.head().unwrap()), 200);
}
