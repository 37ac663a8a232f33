//! As many clients as may come, and one more.

use std::time::Duration;

use plunge::proxy::plain::Gateway;

use crate::fixture::{Origin, Talk, options, status, upstream};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn crowded(origin: &Origin, clients: usize) -> Gateway {
    let mut options = options(upstream(&[origin]));
    options.max_clients = clients;
    // How often a connection looks at its limits.
    options.client_head = Duration::from_millis(100);
    Gateway::start(options).unwrap()
}

#[test]
fn who_is_idle_makes_room_for_who_waits() {
    let origin = Origin::hello();
    let gateway = crowded(&origin, 1);
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
fn who_is_idle_makes_room_and_who_is_busy_does_not() {
    let origin = Origin::scripted(|talk, number| {
        while talk.head().is_some() {
            talk.say("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe");
            // The first one never gets the rest.
            if number == 0 {
                talk.rest();
                return;
            }
            talk.say("llo");
        }
    });
    let gateway = crowded(&origin, 2);
    let [busy, mut idle] = [2, 5].map(|bytes| {
        let mut talk = Talk::to(gateway.address());
        talk.say(GET);
        assert_eq!(status(&talk.head().unwrap()), 200);
        talk.bytes(bytes).unwrap();
        talk
    });
    let mut waits = Talk::to(gateway.address());
    waits.say(GET);
    assert_eq!(status(&waits.head().unwrap()), 200);
    assert_eq!(idle.rest(), "", "it was told to go");
    let stats = gateway.stats();
    assert_eq!((stats.clients, stats.waited), (2, 1));
    assert_eq!(stats.broken, 0, "nobody was cut off");
    drop(busy);
}
