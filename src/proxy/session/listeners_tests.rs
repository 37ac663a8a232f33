//! How subscriptions end.

use std::task::{Context, Poll, Waker};

use super::*;
use crate::proxy::call::Item;

const CHANGED: &str = "notifications/tools/list_changed";

fn listen(listeners: &Listeners, id: &str) -> SessionStream {
    let wants = r#"{"notifications": {"toolsListChanged": true}}"#;
    match listeners.listen(&RawId::new(id), Some(wants)) {
        Source::Session(stream) => stream,
        Source::Call(_) => panic!("a stream of the proxy's own"),
    }
}

/// What comes before its end.
fn last(stream: &SessionStream) -> Bytes {
    let mut last = Bytes::new();
    loop {
        match stream.inbox.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Item::Message(message)) => last = message,
            Poll::Ready(Item::End(())) => return last,
            Poll::Pending => panic!("it goes on"),
        }
    }
}

#[test]
fn whoever_is_too_slow_is_told_that_its_subscription_is_over() {
    let listeners = Listeners::default();
    let slow = listen(&listeners, "7");
    // More than is kept for anybody.
    for _ in 0..2000 {
        listeners.tell(CHANGED);
    }
    let fault: Value = serde_json::from_slice(&last(&slow)).unwrap();
    let kind = &fault["error"]["data"]["kind"];
    assert_eq!((&fault["id"], kind), (&json!(7), &json!("busy")));
}

#[test]
fn whoever_is_slow_is_told_that_everything_ends() {
    let listeners = Listeners::default();
    let slow = listen(&listeners, "7");
    while !slow.inbox.is_full() {
        listeners.tell(CHANGED);
    }
    listeners.close();
    assert_eq!(last(&slow), subscription::end(&RawId::new("7")));
}

#[test]
fn whoever_makes_room_for_another_is_told() {
    let listeners = Listeners::default();
    let all: Vec<_> = (0..=MAX_LISTENERS)
        .map(|id| listen(&listeners, &id.to_string()))
        .collect();
    assert_eq!(last(&all[0]), subscription::end(&RawId::new("0")));
    assert!(all[1].inbox.is_open());
}
