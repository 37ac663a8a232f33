//! Outboxes, the routing of a session's own child, and the table.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::routes::Routes;
use super::*;
use crate::proxy::call::{Call, Flight, Item, Owner, Step};
use crate::proxy::http::{EventStream, SessionStream, Source, Version};
use crate::proxy::wire::{Code, RawId, RequestId};
use crate::resilience::{Backoff, Deadline, Timeouts};
use crate::sync::Arc;
use crate::transport::{Death, LineSink};

const SILENCE: Duration = Duration::from_secs(30);

fn limits() -> Timeouts {
    Timeouts {
        request: SILENCE,
        idle: SILENCE,
        ..Timeouts::default()
    }
}

fn begun() -> Deadline {
    Deadline::new(&limits(), Instant::now())
}

fn fly(routes: &Routes, id: &str, token: Option<&str>, takes_stream: bool) -> Call {
    let flight = Flight::new(
        RawId::new(id),
        token.map(RawId::new),
        Owner::Nobody,
        takes_stream,
    );
    routes.insert(&flight, begun(), 10).unwrap();
    Call::new(flight)
}

fn step(call: &mut Call) -> Option<Step> {
    match call.poll_step(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(step) => Some(step),
        Poll::Pending => None,
    }
}

fn related(call: &mut Call) -> Option<Bytes> {
    match step(call)? {
        Step::Related(message) => Some(message),
        other => panic!("{other:?}"),
    }
}

fn streamed(stream: SessionStream) -> String {
    let mut stream = EventStream::new(Source::Session(stream), None);
    let mut text = String::new();
    while let Poll::Ready(Some(bytes)) = stream.poll_bytes(&mut Context::from_waker(Waker::noop()))
    {
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    text
}

#[tokio::test]
async fn what_waits_for_a_stream_is_bounded_and_the_newest_is_kept() {
    let outbox = Outbox::default();
    for number in 0..300 {
        outbox.send(Bytes::from(format!("n{number}")));
    }
    let text = streamed(outbox.open().unwrap());
    assert_eq!(text.matches("data:").count(), 256);
    assert!(text.contains("n299\n") && !text.contains("n43\n"));
}

#[tokio::test]
async fn a_message_goes_to_one_stream_the_newest_and_unread_to_another() {
    let outbox = Outbox::default();
    let (old, new) = (outbox.open().unwrap(), outbox.open().unwrap());
    outbox.send(Bytes::from_static(b"read"));
    outbox.send(Bytes::from_static(b"unread"));
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(
        new.inbox.poll(&mut context),
        Poll::Ready(Item::Message(message)) if message == "read"
    ));
    drop(new);
    outbox.send(Bytes::from_static(b"later"));
    let text = streamed(old);
    assert_eq!(text.matches("data:").count(), 2);
    assert!(text.find("unread").unwrap() < text.find("later").unwrap());
    assert!(!outbox.has_stream());
}

#[test]
fn a_message_is_not_kept_beside_a_stream_that_opened_meanwhile() {
    let outbox = Outbox::default();
    let message = outbox.send_now(Bytes::from_static(b"x")).unwrap_err();
    let _stream = outbox.open().unwrap();
    let kept = outbox.keep(message);
    assert!(kept.is_err(), "no stream that is open would bring it");
}

#[test]
fn a_closed_outbox_opens_no_stream() {
    let outbox = Outbox::default();
    let stream = outbox.open().unwrap();
    outbox.close();
    assert!(outbox.open().is_none());
    assert!(matches!(
        stream.inbox.poll(&mut Context::from_waker(Waker::noop())),
        Poll::Ready(_)
    ));
}

#[tokio::test]
async fn an_answer_finds_its_request_by_value_and_keeps_its_bytes() {
    let routes = Routes::new(limits(), &Arc::default());
    let (mut text, mut number) = (
        fly(&routes, "\"1\"", None, false),
        fly(&routes, "1", None, false),
    );
    let line = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1.0,"result":{"big":1.00}}"#);
    routes.on_line(line.clone());
    assert!(matches!(step(&mut number), Some(Step::Answer { message, .. }) if message == line));
    assert!(step(&mut text).is_none());
}

#[tokio::test]
async fn an_id_that_is_in_flight_is_refused_and_usable_afterwards() {
    let routes = Routes::new(limits(), &Arc::default());
    let _call = fly(&routes, "1", None, false);
    let twin = Flight::new(RawId::new("1"), None, Owner::Nobody, false);
    let fault = routes.insert(&twin, begun(), 10).unwrap_err();
    assert_eq!(fault.code, Code::BadMessage);
    routes.on_line(Bytes::from_static(
        br#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    ));
    assert!(routes.insert(&twin, begun(), 10).is_ok());
}

#[tokio::test]
async fn progress_goes_to_the_request_with_its_token() {
    let routes = Routes::new(limits(), &Arc::default());
    let (mut first, mut second) = (
        fly(&routes, "1", Some("\"a\""), true),
        fly(&routes, "2", Some("\"b\""), true),
    );
    let line = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"b","progress":1}}"#);
    routes.on_line(line.clone());
    assert!(step(&mut first).is_none());
    assert_eq!(related(&mut second), Some(line));
}

#[tokio::test]
async fn a_question_goes_with_the_only_request_in_flight_else_to_the_stream() {
    let routes = Routes::new(limits(), &Arc::default());
    let question = |id: u32| {
        Bytes::from(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"sampling/createMessage"}}"#
        ))
    };
    let mut first = fly(&routes, "1", None, true);
    routes.on_line(question(1));
    assert_eq!(related(&mut first), Some(question(1)));
    let stream = routes.outbox.open().unwrap();
    let _second = fly(&routes, "2", None, true);
    routes.on_line(question(2));
    assert!(streamed(stream).contains(r#""id":2"#));
    routes.on_line(question(3));
    assert_eq!(related(&mut first), Some(question(3)));
    assert!(routes.take_asked(&RequestId::Integer(3)));
    assert!(!routes.take_asked(&RequestId::Integer(3)));
}

#[tokio::test]
async fn a_change_of_a_list_never_goes_with_a_request() {
    let routes = Routes::new(limits(), &Arc::default());
    let mut call = fly(&routes, "1", None, true);
    routes.on_line(Bytes::from_static(
        br#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
    ));
    assert!(step(&mut call).is_none());
    assert!(streamed(routes.outbox.open().unwrap()).contains("list_changed"));
}

#[tokio::test]
async fn noise_and_answers_to_nobody_are_counted() {
    let routes = Routes::new(limits(), &Arc::default());
    for line in [
        &b"npm warn"[..],
        b"",
        b"\xff\xfe",
        br#"{"jsonrpc":"2.0","id":9,"result":{}}"#,
    ] {
        routes.on_line(Bytes::from_static(line));
    }
    assert_eq!(routes.heard.dropped(), 4);
}

#[tokio::test]
async fn a_death_reaches_every_request_and_what_comes_after_it() {
    let routes = Routes::new(limits(), &Arc::default());
    let mut call = fly(&routes, "1", None, false);
    routes.on_death(&Death::StdoutClosed);
    assert!(matches!(step(&mut call), Some(Step::Fault(fault)) if fault.code == Code::ChildDied));
    let late = Flight::new(RawId::new("2"), None, Owner::Nobody, false);
    assert_eq!(
        routes.insert(&late, begun(), 10).unwrap_err().code,
        Code::ChildDied
    );
    assert!(routes.is_over());
}

#[tokio::test(start_paused = true)]
async fn no_request_times_out_while_the_child_waits_for_its_client() {
    let routes = Routes::new(limits(), &Arc::default());
    let _stream = routes.outbox.open().unwrap();
    let _call = fly(&routes, "1", None, false);
    routes.on_line(Bytes::from_static(
        br#"{"jsonrpc":"2.0","id":5,"method":"elicitation/create"}"#,
    ));
    let later = Instant::now() + 2 * SILENCE;
    assert!(routes.expired(later).is_empty());
    tokio::time::advance(2 * SILENCE).await;
    assert!(routes.take_asked(&RequestId::Integer(5)));
    assert!(
        routes.expired(Instant::now()).is_empty(),
        "its clock starts again with the answer"
    );
    assert_eq!(routes.expired(Instant::now() + SILENCE).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn sessions_that_nobody_uses_end_and_those_in_use_do_not() {
    let table = SessionTable::new(10);
    let idle = table.begin(Version::LATEST, None).unwrap().id.clone();
    let streaming = table.begin(Version::LATEST, None).unwrap();
    let _stream = streaming.outbox().open();
    let (streaming, serving) = (
        streaming.id.clone(),
        table.begin(Version::LATEST, None).unwrap(),
    );
    tokio::time::advance(SILENCE * 2).await;
    table.sweep(SILENCE);
    assert!(table.find(&idle).is_none());
    assert!(table.find(&streaming).is_some() && table.find(&serving.id).is_some());
    assert_eq!(table.len(), 2);
}

#[tokio::test]
async fn ids_are_long_visible_and_different_and_their_number_is_limited() {
    let table = SessionTable::new(2);
    let (one, two) = (
        table.begin(Version::LATEST, None).unwrap(),
        table.begin(Version::LATEST, None).unwrap(),
    );
    assert!(one.id != two.id && one.key != two.key && one.id.len() == 32);
    assert_eq!(
        table.begin(Version::LATEST, None).err().unwrap().code,
        Code::Busy
    );
    assert!(table.end(&one.id).is_some() && table.end(&one.id).is_none());
    assert!(table.begin(Version::LATEST, None).is_ok());
}

#[tokio::test]
async fn a_change_of_a_list_reaches_those_who_listen_and_once_those_who_come_later() {
    let table = SessionTable::new(10);
    let [one, two] = [(); 2].map(|()| table.begin(Version::LATEST, None).unwrap());
    let told_of = |stream: SessionStream, what: &str| streamed(stream).matches(what).count();
    let stream = one.outbox().open().unwrap();
    for list in ["tools", "prompts", "tools", "unknown"] {
        let method = format!("notifications/{list}/list_changed");
        let message = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"by":1}}}}"#);
        table.tell_of_list(&message.into(), &method);
    }
    assert_eq!(told_of(stream, r#""by":1"#), 4);
    let late = streamed(two.outbox().open().unwrap());
    let change =
        |list| format!(r#"{{"jsonrpc":"2.0","method":"notifications/{list}/list_changed"}}"#);
    assert_eq!(late.matches("data:").count(), 2, "{late}");
    assert!(late.contains(&change("tools")) && late.contains(&change("prompts")));
    for session in [&one, &two] {
        assert_eq!(told_of(session.outbox().open().unwrap(), "data:"), 0);
    }
}

fn enter(table: &SessionTable, session: &Session, uri: &str) -> Result<Arc<Topic>, Code> {
    let pauses = Backoff::new(SILENCE, SILENCE, 1);
    let entered = table.subscribers.enter(session, uri, pauses);
    let entered = entered.map(|(topic, _)| topic);
    entered.map_err(|fault| fault.code)
}

#[tokio::test]
async fn all_sessions_have_so_many_resources_and_their_ends_make_room() {
    let table = SessionTable::new(100);
    let sessions: Vec<_> = (0..40)
        .map(|_| table.begin(Version::LATEST, None).unwrap())
        .collect();
    for number in 0..10_000 {
        let uri = number.to_string();
        enter(&table, &sessions[number / 250], &uri).unwrap();
    }
    let one = &sessions[0];
    assert_eq!(enter(&table, one, "more").err(), Some(Code::Busy));
    assert!(enter(&table, one, "9999").is_ok(), "it is there");
    table.end(&sessions[1].id);
    let vacant = table.subscribers.due(&[], Instant::now());
    assert_eq!(vacant.len(), 250, "their child is to be told");
    for topic in &vacant {
        table.subscribers.forget(topic);
    }
    assert!(enter(&table, one, "more").is_ok());
}

#[tokio::test]
async fn a_session_that_is_over_subscribes_to_nothing_and_a_topic_stays_while_a_child_has_it() {
    let table = SessionTable::new(2);
    let session = table.begin(Version::LATEST, None).unwrap();
    let (topic, subscribers) = (enter(&table, &session, "a").unwrap(), &table.subscribers);
    subscribers.answered(&topic, 1, Said::Yes);
    assert!(subscribers.due(&[1], Instant::now()).is_empty());
    assert_eq!(
        subscribers.due(&[2], Instant::now()).len(),
        1,
        "its child is gone"
    );
    assert!(!subscribers.release(&topic), "a session is left");
    table.end(&session.id);
    assert_eq!(enter(&table, &session, "b").err(), Some(Code::SessionEnded));
    subscribers.forget(&topic);
    assert_eq!(subscribers.holder(&topic), Some(1));
    assert!(subscribers.release(&topic));
    subscribers.forget(&topic);
    assert_eq!(
        subscribers.due(&[1], Instant::now()).len(),
        1,
        "its child is to be told"
    );
    subscribers.acquit(&topic, 1);
    subscribers.forget(&topic);
    assert!(subscribers.is_empty());
    assert!(!subscribers.tell("a", 1, &Bytes::from_static(b"{}")));
}

#[tokio::test]
async fn one_childs_word_counts_at_a_time_whatever_others_tell() {
    let table = SessionTable::new(1);
    let session = table.begin(Version::LATEST, None).unwrap();
    let (topic, subscribers) = (enter(&table, &session, "a").unwrap(), &table.subscribers);
    let heeded = || {
        let tells = |child: &u64| subscribers.tell("a", *child, &Bytes::from_static(b"{}"));
        (1..=3).filter(tells).collect::<Vec<_>>()
    };
    assert!(heeded().is_empty(), "nobody was asked");
    subscribers.ask(&topic, 1);
    assert_eq!(heeded(), [1], "it may tell before its answer is seen");
    assert_eq!(subscribers.answered(&topic, 1, Said::Nothing), None);
    assert!(heeded().is_empty(), "its answer was not seen");
    subscribers.ask(&topic, 2);
    assert_eq!(heeded(), [2]);
    assert_eq!(subscribers.answered(&topic, 2, Said::Yes), None);
    assert_eq!((heeded(), subscribers.others(&topic)), (vec![2], vec![1]));
    subscribers.ask(&topic, 3);
    assert_eq!(heeded(), [2], "the one that was asked before still tells");
    assert_eq!(subscribers.answered(&topic, 3, Said::No), None);
    assert_eq!(subscribers.answered(&topic, 1, Said::Yes), Some(2));
    assert_eq!((heeded(), subscribers.others(&topic)), (vec![1], vec![2]));
    let extent = Extent {
        resources: 1,
        subscriptions: 1,
        untold: 0,
    };
    assert_eq!(subscribers.extent(&[1]), extent);
    assert_eq!(subscribers.extent(&[2]).untold, 1);
    subscribers.agree(&topic, session.key);
    let again = subscribers.enter(&session, "a", Backoff::new(SILENCE, SILENCE, 1));
    let claim = again.unwrap().1;
    subscribers.leave_claim(session.key, "a", claim, false);
    assert!(subscribers.is_in(&topic, session.key), "as before");
    subscribers.leave_claim(session.key, "a", claim, true);
    assert!(!subscribers.is_in(&topic, session.key), "it was refused");
    table.end(&session.id);
    assert_eq!(subscribers.extent(&[1]), Extent::default());
}

#[test]
fn what_is_kept_for_a_stream_keeps_nothing_of_what_was_read_with_it() {
    let read = Bytes::from(vec![b' '; 64 << 10]);
    let (outbox, replay) = (Outbox::default(), Replay::new(&Arc::default()));
    outbox.send(read.slice(..100));
    assert!(read.is_unique());
    let source = Source::Session(outbox.open().unwrap());
    let _reader = replay.begin(source, Some(read.slice(100..200)));
    assert!(read.is_unique());
}
