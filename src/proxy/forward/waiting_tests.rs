//! What overtakes what.

use super::*;

const REQUEST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":9,"result":{}}"#;
const CANCEL: &str =
    r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#;
const BATCH: &str = r#"[{"jsonrpc":"2.0","id":2,"method":"ping"}]"#;

fn is_later(waiting: &mut Waiting, line: &'static str) -> bool {
    matches!(
        waiting.add(Ok(Bytes::from_static(line.as_bytes()))),
        Turn::Later
    )
}

#[test]
fn answers_and_cancellations_overtake_where_something_waits() {
    let mut waiting = Waiting::default();
    assert!(is_later(&mut waiting, ANSWER), "it is the first");
    assert!(waiting.next().is_some() && waiting.next().is_none());
    assert!(is_later(&mut waiting, REQUEST));
    assert!(waiting.next().is_some());
    assert!(is_later(&mut waiting, REQUEST) && is_later(&mut waiting, "nonsense"));
    assert!(!is_later(&mut waiting, ANSWER) && !is_later(&mut waiting, CANCEL));
}

#[test]
fn a_cancellation_of_what_may_be_part_of_a_batch_does_not_overtake_that() {
    let mut waiting = Waiting::default();
    assert!(is_later(&mut waiting, BATCH) && is_later(&mut waiting, CANCEL));
    assert!(waiting.next().is_some());
    assert!(is_later(&mut waiting, CANCEL) && !is_later(&mut waiting, ANSWER));
}

#[test]
fn a_cancellation_of_what_has_the_turn_overtakes_a_batch_behind_it() {
    let mut waiting = Waiting::default();
    let named = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;
    assert!(is_later(&mut waiting, named) && waiting.next().is_some());
    assert!(is_later(&mut waiting, BATCH) && !is_later(&mut waiting, CANCEL));
}

#[test]
fn the_first_request_of_all_is_not_cancelled_here() {
    let mut waiting = Waiting::default();
    let initialize = r#"{"jsonrpc":"2.0","id":2,"method":"initialize","params":{}}"#;
    assert!(is_later(&mut waiting, REQUEST) && waiting.next().is_some());
    assert!(is_later(&mut waiting, initialize));
    let passed = waiting.add(Ok(Bytes::from_static(CANCEL.as_bytes())));
    assert!(matches!(passed, Turn::AtOnce(Ok(_))), "it is passed on");
    assert!(waiting.next().is_some(), "it has its turn");
}

#[test]
fn so_much_waits_and_not_more() {
    let mut waiting = Waiting::default();
    for _ in 0..MAX_LINES {
        assert!(waiting.has_room() && is_later(&mut waiting, REQUEST));
    }
    assert!(!waiting.has_room());
    while waiting.next().is_some() {}
    assert!(waiting.has_room() && waiting.bytes == 0);
    let long = Bytes::from(vec![b'x'; MAX_BYTES]);
    assert!(matches!(waiting.add(Ok(long)), Turn::Later) && !waiting.has_room());
}
