//! When sessions end, and what they bring until then.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, advance};

use super::*;
use crate::proxy::call::{Answer, Call, Flight, Owner};
use crate::proxy::http::{Source, Version};
use crate::proxy::wire::{Changes, Code, Fault, RawId};
use crate::sync::Arc;

const IDLE: Duration = Duration::from_secs(30);

fn flight() -> Arc<Flight> {
    Flight::new(RawId::new("1"), None, Owner::Nobody, true)
}

#[tokio::test(start_paused = true)]
async fn a_session_is_unused_from_the_end_of_its_last_use_on() {
    type Use = fn(&Session) -> Box<dyn Send>;
    let uses: [Use; 3] = [
        |session| Box::new(session.outbox().open()),
        |session| {
            let source = Source::Call(Call::new(flight()));
            Box::new(session.replay.begin(source, None))
        },
        |_| Box::new(()), // the reference that is held meanwhile
    ];
    for (number, uses) in uses.into_iter().enumerate() {
        let table = SessionTable::new(1);
        let session = table.begin(Version::LATEST, None).unwrap();
        let (id, used) = (session.id.clone(), uses(&session));
        let held = (number == 2).then_some(session);
        advance(2 * IDLE).await;
        table.sweep(IDLE);
        drop((used, held));
        advance(IDLE / 2).await;
        table.sweep(IDLE);
        assert!(table.knows(&id), "{number}: its client may come back");
        advance(IDLE).await;
        table.sweep(IDLE);
        assert!(!table.knows(&id), "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_comes_back_to_keeps_no_session() {
    let table = SessionTable::new(1);
    let session = table.begin(Version::LATEST, None).unwrap();
    let source = Source::Call(Call::new(flight()));
    drop(session.replay.begin(source, None));
    drop(session);
    advance(2 * IDLE).await;
    table.sweep(IDLE);
    assert!(table.is_empty());
}

#[tokio::test]
async fn no_session_begins_once_all_were_ended() {
    let table = SessionTable::new(10);
    let session = table.begin(Version::LATEST, None).unwrap();
    table.end_all();
    assert!(!table.knows(&session.id));
    let late = table.begin(Version::LATEST, None).err().unwrap();
    assert_eq!((late.code, table.len()), (Code::Closing, 0));
}

#[tokio::test]
async fn what_comes_first_on_a_stream_arrives_however_long_it_is() {
    let (replay, flight) = (Replay::new(&Arc::default()), flight());
    let source = Source::Call(Call::new(flight.clone()));
    let long = Bytes::from(vec![b' '; 2 << 20]);
    let mut reader = replay.begin(source, Some(long.clone()));
    assert!(flight.relate(Bytes::from_static(b"next")).is_ok());
    let mut read = || match reader.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(message)) => (message, reader.place().place),
        other => panic!("{other:?}"),
    };
    assert!(read() == (long, 1));
    assert!(read() == (Bytes::from_static(b"next"), 2));
}

#[tokio::test]
async fn an_answer_that_is_not_kept_is_a_fault_to_who_comes_back_for_it() {
    for (room, length) in [(usize::MAX, 2 << 20), (0, 2)] {
        let room_of_all = Arc::new(Room::default());
        room_of_all.limit_to(room);
        let (replay, flight) = (Replay::new(&room_of_all), flight());
        let source = Source::Call(Call::new(flight.clone()));
        let mut reader = replay.begin(source, Some(Bytes::from_static(b"first")));
        let answer = Bytes::from(vec![b' '; length]);
        assert!(flight.answer(Answer::own(answer, true)));
        assert_eq!([pull(&mut reader), pull(&mut reader)], [Some(1), Some(2)]);
        let resume = |place| replay.resume(EventId { stream: 1, place }, &Outbox::default());
        for place in [0, 1] {
            let mut again = resume(place).unwrap();
            let mut context = Context::from_waker(Waker::noop());
            let Poll::Ready(Some(message)) = again.poll(&mut context) else {
                panic!("{room} {place}");
            };
            let message: serde_json::Value = serde_json::from_slice(&message).unwrap();
            let (id, kind) = (&message["id"], &message["error"]["data"]["kind"]);
            assert_eq!((id, kind), (&1.into(), &"answer_lost".into()));
            assert_eq!(again.place().place, 2);
            assert!(again.poll(&mut context).is_ready(), "and no more");
        }
        assert_eq!(pull(&mut resume(2).unwrap()), None, "it was read");
    }
}

#[tokio::test]
async fn listeners_that_left_make_room_before_one_who_listens() {
    let listeners = Listeners::default();
    let Source::Session(listens) = listeners.listen(&RawId::new("0"), None) else {
        panic!("a stream of the proxy's own");
    };
    for number in 1..=20_000 {
        drop(listeners.listen(&RawId::new(&number.to_string()), None));
    }
    assert!(listens.inbox.is_open());
    assert_eq!(listeners.len(), 1);
}

fn pull(reader: &mut Reader) -> Option<u64> {
    match reader.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(_)) => Some(reader.place().place),
        _ => None,
    }
}

/// A stream of a session that brought so many messages of a kilobyte.
fn stream_of(session: &Session, messages: u64) -> (Arc<Flight>, Reader) {
    let flight = flight();
    let source = Source::Call(Call::new(flight.clone()));
    let mut reader = session.replay.begin(source, None);
    for place in 1..=messages {
        assert!(flight.relate(Bytes::from(vec![b' '; 1024])).is_ok());
        assert_eq!(pull(&mut reader), Some(place), "kept or not, it is read");
    }
    (flight, reader)
}

#[tokio::test]
async fn what_all_sessions_keep_is_bounded_and_all_of_it_is_given_back() {
    const ROOM: usize = 64 << 10;
    let table = SessionTable::new(100);
    table.kept.limit_to(ROOM);
    let (mut sessions, mut streams) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        let session = table.begin(Version::LATEST, None).unwrap();
        streams.push(stream_of(&session, 20));
        sessions.push(session);
        assert!(table.kept.held() <= ROOM);
    }
    assert!(table.kept.held() > ROOM / 2);
    let first = EventId {
        stream: 1,
        place: 3,
    };
    let resume = |session: &Session, id| session.replay.resume(id, session.outbox());
    let mut again = resume(&sessions[0], first).unwrap();
    assert_eq!(pull(&mut again), Some(4), "it came while there was room");
    let mut late = resume(&sessions[49], first).unwrap();
    assert_eq!(pull(&mut late), None, "there was no room");
    assert!(streams[49].0.fail(Fault::closing()));
    assert_eq!(pull(&mut late), Some(21), "it goes on to its end");
    let last = EventId { place: 20, ..first };
    assert!(resume(&sessions[49], last).is_some(), "nothing was missed");
    let unkept = Some(Bytes::from_static(b"first"));
    let source = Source::Call(Call::new(flight()));
    let mut reader = sessions[49].replay.begin(source, unkept);
    assert_eq!(pull(&mut reader), Some(1), "who has no room is read, too");
    drop((again, late, reader, streams));
    table.end_all();
    drop(sessions);
    assert_eq!(table.kept.held(), 0);
}

#[tokio::test]
async fn streams_that_ended_make_room_before_those_that_go_on() {
    let table = SessionTable::new(2);
    let [ends, goes] = [(); 2].map(|()| table.begin(Version::LATEST, None).unwrap());
    let (ended, mut reader) = stream_of(&ends, 20);
    ended.fail(Fault::closing());
    assert!(pull(&mut reader).is_some() && pull(&mut reader).is_none());
    let _going = stream_of(&goes, 20);
    let held = table.kept.held();
    table.sweep(IDLE);
    assert_eq!(table.kept.held(), held, "there is room");
    table.kept.limit_to(held);
    drop(reader);
    table.sweep(IDLE);
    let first = EventId {
        stream: 1,
        place: 0,
    };
    assert!(ends.replay.resume(first, ends.outbox()).is_none());
    assert!(goes.replay.resume(first, goes.outbox()).is_some());
    assert!((1..held / 4 * 3).contains(&table.kept.held()));
}

#[tokio::test(start_paused = true)]
async fn lists_that_may_have_changed_again_and_again_are_told_of_once_in_a_while() {
    let table = SessionTable::new(1);
    let session = table.begin(Version::LATEST, None).unwrap();
    let stream = session.outbox().open().unwrap();
    let told = || {
        let mut context = Context::from_waker(Waker::noop());
        let more = || stream.inbox.poll(&mut context).is_ready().then_some(());
        std::iter::from_fn(more).count()
    };
    let tools = Changes::of("notifications/tools/list_changed");
    table.miss(tools, Instant::now());
    assert_eq!(told(), 1, "at once");
    for _ in 0..4 {
        advance(Duration::from_secs(60)).await;
        table.miss(tools, Instant::now());
        table.tell_missed(Instant::now());
    }
    assert_eq!(told(), 0);
    advance(Duration::from_secs(60)).await;
    table.tell_missed(Instant::now());
    assert_eq!(told(), 1, "the last one, too");
    advance(Duration::from_secs(600)).await;
    table.tell_missed(Instant::now());
    assert_eq!(told(), 0);
}
