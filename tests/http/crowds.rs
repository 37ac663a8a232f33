//! As many clients as may come, and one more.

use std::sync::Mutex;
use std::sync::mpsc::channel;
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
fn who_is_busy_stays_where_who_is_idle_makes_room() {
    let (finish, finished) = channel::<()>();
    let finished = Mutex::new(finished);
    let origin = Origin::scripted(move |talk, _| {
        while let Some(head) = talk.head() {
            talk.say("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe");
            if head.starts_with("GET /slow") {
                let _ = finished.lock().unwrap().recv();
            }
            talk.say("llo");
        }
    });
    let gateway = crowded(&origin, 2);
    let mut busy = Talk::to(gateway.address());
    busy.say("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n");
    busy.head().unwrap();
    let mut idle = Talk::to(gateway.address());
    idle.say(GET);
    idle.head().unwrap();
    idle.bytes(5).unwrap();
    let mut waiting = Talk::to(gateway.address());
    waiting.say(GET);
    assert_eq!(status(&waiting.head().unwrap()), 200);
    assert_eq!(idle.rest(), "");
    finish.send(()).unwrap();
    assert_eq!(busy.bytes(5).unwrap(), b"hello");
    assert_eq!(gateway.stats().waited, 1);
}
