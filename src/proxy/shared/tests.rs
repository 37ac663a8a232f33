//! The table of a shared child, its routing, and what clients are told of it.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::affinity::Affinity;
use super::child::{Request, SharedChild};
use super::era::Wanted;
use super::flights::{Flights, Refused};
use super::group::Group;
use super::handshake::Handshaken;
use super::hello::Hello;
use super::router::ChildRouter;
use super::waiting::Waiting;
use super::wear::Wear;
use crate::PoolOptions;
use crate::proxy::call::{Call, Flight, Manner, Owner, Step};
use crate::proxy::guard::Guard;
use crate::proxy::http::Version;
use crate::proxy::live::Live;
use crate::proxy::options::{Mode, ServeOptions, Upstream};
use crate::proxy::peer::{Peer, PeerSink, PeerSource};
use crate::proxy::session::SessionTable;
use crate::proxy::tasks::Tasks;
use crate::proxy::wire::{Code, Envelope, Fault, Kind, RawId, RequestId, parse};
use crate::resilience::{BreakerOptions, BreakerState, Deadline, Timeouts};
use crate::sync::Arc;
use crate::transport::{Command, Death, LineSink, Subprocess};

const SILENCE: Duration = Duration::from_secs(30);

pub(super) fn limits() -> Timeouts {
    Timeouts {
        request: SILENCE,
        idle: SILENCE,
        ..Timeouts::default()
    }
}

fn begun() -> Deadline {
    Deadline::new(&limits(), Instant::now())
}

fn router() -> ChildRouter {
    ChildRouter::new(
        16,
        limits(),
        Arc::new(SessionTable::new(10)),
        Arc::new(Notify::new()),
    )
}

pub(super) fn flight(id: &str, owner: u64) -> Arc<Flight> {
    Flight::new(
        RawId::new(id),
        Some(RawId::new("\"token\"")),
        Owner::Session(owner),
        true,
    )
}

pub(super) fn fly(router: &ChildRouter, id: &str, owner: u64) -> (u64, Call) {
    let flight = flight(id, owner);
    let own = router.flights.insert(&flight, begun()).unwrap();
    (own, Call::new(flight))
}

fn step(call: &mut Call) -> Option<Step> {
    match call.poll_step(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(step) => Some(step),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn equal_ids_of_two_clients_never_mix() {
    let router = router();
    let ((first, mut one), (second, mut other)) = (fly(&router, "1", 1), fly(&router, "1", 2));
    assert_ne!(first, second);
    router.on_line(Bytes::from(format!(
        r#"{{"jsonrpc":"2.0","result":{{"to":2}},"id":{second}}}"#
    )));
    assert!(step(&mut one).is_none());
    assert!(
        matches!(step(&mut other), Some(Step::Answer { message, .. }) if message == r#"{"jsonrpc":"2.0","result":{"to":2},"id":1}"#)
    );
    assert_eq!(router.flights.len(), 1);
}

#[test]
fn an_id_is_not_used_again_for_the_next_request() {
    let flights = Flights::new(4, limits());
    let first = flights.insert(&flight("1", 1), begun()).unwrap();
    assert!(flights.take(first).is_some());
    let second = flights.insert(&flight("1", 1), begun()).unwrap();
    assert_ne!(first, second);
    assert!(flights.take(first).is_none(), "a late answer finds nobody");
    assert!(flights.take(second).is_some());
}

#[test]
fn a_child_at_its_limit_takes_no_more() {
    let flights = Flights::new(2, limits());
    let first = flights.insert(&flight("1", 1), begun()).unwrap();
    flights.insert(&flight("2", 1), begun()).unwrap();
    assert!(matches!(
        flights.insert(&flight("3", 1), begun()),
        Err(Refused::Full)
    ));
    flights.take(first);
    assert!(flights.insert(&flight("3", 1), begun()).is_ok());
}

#[test]
fn a_cancellation_finds_only_the_request_of_its_sender() {
    let flights = Flights::new(4, limits());
    let mine = flights.insert(&flight("1", 1), begun()).unwrap();
    flights.insert(&flight("1", 2), begun()).unwrap();
    flights.insert(&flight("\"1\"", 1), begun()).unwrap();
    let one = RequestId::Integer(1);
    assert!(flights.take_owned(Owner::Session(3), &one).is_empty());
    let taken = flights.take_owned(Owner::Session(1), &one);
    assert_eq!((taken.len(), taken[0].0), (1, mine));
    assert!(flights.take_owned(Owner::Session(1), &one).is_empty());
    assert_eq!(flights.len(), 2);
    flights.insert(&flight("1", 2), begun()).unwrap();
    let both = flights.take_owned(Owner::Session(2), &one);
    assert_eq!((both.len(), flights.len()), (2, 1), "of an id used twice");
}

#[tokio::test]
async fn progress_reaches_its_request_under_the_clients_own_token() {
    let router = router();
    let ((own, mut call), (_, mut other)) = (fly(&router, "1", 1), fly(&router, "2", 1));
    let line = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progress":0.5,"progressToken":{own}}}}}"#
    );
    router.on_line(Bytes::from(line.clone()));
    assert!(
        matches!(step(&mut call), Some(Step::Related(message)) if message == line.replace(&format!("{own}}}"), "\"token\"}"))
    );
    assert!(step(&mut other).is_none());
    router.on_line(Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"token"}}"#));
    assert!(
        step(&mut call).is_none(),
        "a token that the proxy did not make names nobody"
    );
}

#[tokio::test]
async fn a_request_that_is_cancelled_as_a_child_comes_does_not_get_it() {
    let (waiting, flight) = (Waiting::default(), flight("1", 1));
    let ready = async {
        waiting.cancel(Owner::Session(1), &RequestId::Integer(1));
        Ok(())
    };
    let fault = waiting.wait(&flight, ready).await.unwrap_err();
    assert_eq!(fault.code, Code::Cancelled);
}

/// A subscription, and the id that its child knows it by.
fn listen(router: &ChildRouter) -> (u64, Call) {
    let (id, owner, manner) = (RawId::new("\"mine\""), Owner::Nobody, Manner::Listening);
    let flight = Flight::admitted(id, None, owner, true, manner, None);
    let own = router.flights.insert(&flight, begun()).unwrap();
    (own, Call::new(flight))
}

#[tokio::test]
async fn a_subscription_that_missed_a_change_ends_so_that_it_is_begun_anew() {
    let router = router();
    let (own, mut call) = listen(&router);
    let tag = "io.modelcontextprotocol/subscriptionId";
    let method = "notifications/tools/list_changed";
    let line = format!(
        r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"_meta":{{"{tag}":{own}}}}}}}"#
    );
    let line = Bytes::from(line);
    for _ in 0..2000 {
        router.on_line(line.clone());
    }
    assert_eq!(router.flights.listening(), 0);
    let mut told = 0;
    let end = loop {
        match step(&mut call).unwrap() {
            Step::Related(_) => told += 1,
            end => break end,
        }
    };
    assert!(told > 0, "what came before is told");
    assert!(matches!(end, Step::Fault(fault) if fault.code == Code::Busy));
}

#[tokio::test]
async fn a_subscription_that_its_server_cancels_ends_in_order() {
    let router = router();
    let (own, mut call) = listen(&router);
    let (request, mut other) = fly(&router, "1", 1);
    for id in [own, own, request] {
        let params = format!(r#"{{"requestId":{id}}}"#);
        router.on_line(Bytes::from(format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#
        )));
    }
    assert!(
        matches!(step(&mut call), Some(Step::Answer { message, is_result: true }) if message.starts_with(b"{") && String::from_utf8_lossy(&message).contains("\"id\":\"mine\""))
    );
    assert!(step(&mut other).is_none(), "no client asked for that");
    assert_eq!((router.flights.listening(), router.dropped()), (0, 2));
}

#[tokio::test]
async fn a_log_line_goes_on_only_while_one_request_is_in_flight() {
    let router = router();
    let line = Bytes::from_static(
        br#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"x"}}"#,
    );
    let (_, mut first) = fly(&router, "1", 1);
    router.on_line(line.clone());
    assert!(matches!(step(&mut first), Some(Step::Related(message)) if message == line));
    let (_, mut second) = fly(&router, "1", 2);
    router.on_line(line);
    assert!(step(&mut first).is_none() && step(&mut second).is_none());
    assert_eq!(router.dropped(), 1);
}

#[tokio::test]
async fn a_death_fails_every_request_and_refuses_the_next() {
    let router = router();
    let (_, mut call) = fly(&router, "1", 1);
    router.on_death(&Death::StdoutClosed);
    assert!(matches!(step(&mut call), Some(Step::Fault(fault)) if fault.code == Code::ChildDied));
    assert!(matches!(
        router.flights.insert(&flight("2", 1), begun()),
        Err(Refused::Over(_))
    ));
    assert_eq!(router.flights.len(), 0);
}

#[test]
fn what_ends_a_table_stays_its_first_reason() {
    let flights = Flights::new(2, limits());
    flights.end(Fault::new(Code::Closing, "first"));
    flights.end(Fault::new(Code::ChildDied, "second"));
    assert!(
        matches!(flights.insert(&flight("1", 1), begun()), Err(Refused::Over(fault)) if fault.message == "first")
    );
}

const SAID: &[u8] = br#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{"logging":{},"tools":{},"resources":{"subscribe":true,"listChanged":true}},"serverInfo":{"name":"s","version":"1"}}}"#;

#[test]
fn clients_are_offered_what_can_be_shared_in_their_own_revision() {
    let hello = Hello::read(SAID).unwrap();
    assert_eq!(
        hello.agree(Some(Version::V2024_11_05)),
        Version::V2024_11_05
    );
    assert_eq!(
        hello.agree(Some(Version::V2025_11_25)),
        Version::V2025_06_18
    );
    assert_eq!(hello.agree(None), Version::V2025_06_18);
    let answer: serde_json::Value = serde_json::from_slice(
        &hello
            .answer(&RawId::new("\"i\""), Version::V2025_03_26, false)
            .unwrap(),
    )
    .unwrap();
    assert_eq!(answer["id"], "i");
    assert_eq!(answer["result"]["protocolVersion"], "2025-03-26");
    assert_eq!(
        answer["result"]["capabilities"],
        serde_json::json!({"tools": {}, "resources": {"listChanged": true}})
    );
    let answer = hello.answer(&RawId::new("1"), Version::V2025_03_26, true);
    let answer: serde_json::Value = serde_json::from_slice(&answer.unwrap()).unwrap();
    assert_eq!(
        answer["result"]["capabilities"]["resources"],
        serde_json::json!({"listChanged": true, "subscribe": true}),
        "where each client has a session of its own"
    );
}

#[test]
fn a_child_that_refuses_or_speaks_another_revision_is_named() {
    assert!(
        Hello::read(br#"{"error":{"code":-1,"message":"no"}}"#)
            .unwrap_err()
            .contains("refused")
    );
    assert!(
        Hello::read(br#"{"result":{"protocolVersion":"1999-01-01"}}"#)
            .unwrap_err()
            .contains("1999-01-01")
    );
    assert!(Hello::read(br#"{"result":{}}"#).is_err());
}

/// A child that answers nothing, and its router, which hears of nothing by itself.
pub(super) async fn silent() -> (Arc<SharedChild>, Arc<ChildRouter>) {
    let router = Arc::new(router());
    let kept = router.clone();
    let pool = PoolOptions::new().connect_with(move || {
        let router = kept.clone();
        async move {
            let child = Subprocess::spawn(Command::new("sleep").arg("600")).await?;
            Ok::<_, crate::BoxError>(Handshaken {
                peer: Peer::Child(child),
                router,
                hello: Arc::new(Hello::read(SAID)?),
                wear: Arc::new(Wear::begin()),
            })
        }
    });
    let lease = pool.unwrap().acquire().await.unwrap();
    (
        Arc::new(SharedChild::new(lease, Default::default())),
        router,
    )
}

fn asked<'a>(message: &'a Envelope<'a>, line: &'a Bytes) -> Request<'a> {
    let Kind::Request { id, .. } = &message.kind else {
        panic!("it is a request");
    };
    Request {
        message,
        line,
        id,
        token: None,
    }
}

fn kill(child: &SharedChild) {
    let pid = rustix::process::Pid::from_raw(child.pid().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// The window is between a death and the news of it, which no test can meet by chance.
#[tokio::test]
async fn a_request_that_a_dead_child_did_not_take_is_answered_by_another() {
    let (dead, _) = silent().await;
    kill(&dead);
    while dead.is_alive() {
        tokio::task::yield_now().await;
    }
    let (alive, router) = silent().await;
    let line = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#);
    let message = parse(&line).unwrap();
    let request = asked(&message, &line);
    let flight = flight("1", 1);
    let refused = dead.call(&flight, &request, begun()).await;
    assert!(matches!(refused, Err(Refused::Over(_))));
    let taken = alive.call(&flight, &request, begun()).await;
    let mut call = taken.unwrap().unwrap();
    let own = 1 << 14;
    router.on_line(Bytes::from(format!(
        r#"{{"jsonrpc":"2.0","id":{own},"result":{{}}}}"#
    )));
    assert!(matches!(step(&mut call), Some(Step::Answer { .. })));
}

/// The same, where the news come first: what ended with the child was not run by it.
#[tokio::test]
async fn a_request_that_ended_before_it_was_written_did_not_run() {
    let (dead, router) = silent().await;
    kill(&dead);
    while dead.is_alive() {
        tokio::task::yield_now().await;
    }
    let line = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#);
    let message = parse(&line).unwrap();
    let request = asked(&message, &line);
    router.on_death(&Death::StdoutClosed);
    let flight = flight("1", 1);
    let refused = dead.call(&flight, &request, begun()).await;
    assert!(matches!(refused, Err(Refused::Over(_))));
    assert!(flight.is_awaited(), "it may be sent to another child");
}

/// The window is between the end of a process and the last line that it wrote.
#[tokio::test]
async fn a_dead_child_keeps_its_requests_until_its_last_words_were_read() {
    let options = ServeOptions {
        max_connections: Some(1),
        ..ServeOptions::new(Upstream::Stdio(Command::new("none")), Mode::Shared)
    };
    let (live, tasks) = (Live::new(options), Tasks::default());
    let audience = Arc::new(SessionTable::new(1));
    let guard = Guard::new(BreakerOptions::default(), false);
    let source = PeerSource::new(&live.get(), &audience.tools, &guard).unwrap();
    let group = Group::new(&source, &live, &audience, &tasks, &guard, Wanted::Legacy).unwrap();
    let (dead, router) = silent().await;
    let (own, mut call) = fly(&router, "1", 1);
    kill(&dead);
    while dead.is_alive() {
        tokio::task::yield_now().await;
    }
    group.leaving.lock().push(dead);
    assert!(!group.make_room());
    router.on_line(Bytes::from(format!(
        r#"{{"jsonrpc":"2.0","id":{own},"result":{{}}}}"#
    )));
    assert!(matches!(step(&mut call), Some(Step::Answer { .. })));
    assert!(group.make_room());
}

#[tokio::test]
async fn a_request_that_is_cancelled_before_it_is_written_is_not_written() {
    let (child, router) = silent().await;
    let request = |id: u32, more: &str| {
        Bytes::from(format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{more}"}}"#
        ))
    };
    let (long, short) = (request(1, &"x".repeat(2 << 20)), request(2, "y"));
    let (first, second) = (parse(&long).unwrap(), parse(&short).unwrap());
    let waits = flight("2", 1);
    let (takes, about) = (flight("1", 1), asked(&first, &long));
    let _taken = child.call(&takes, &about, begun()).await.unwrap().unwrap();
    let cancelling = async {
        while router.flights.len() < 2 {
            tokio::task::yield_now().await;
        }
        child.cancel(Owner::Session(1), &RequestId::Integer(2));
    };
    let about = asked(&second, &short);
    let both = async { tokio::join!(child.call(&waits, &about, begun()), cancelling) };
    let (ended, ()) = tokio::time::timeout(SILENCE / 3, both)
        .await
        .expect("its end");
    assert!(matches!(ended, Ok(Err(fault)) if fault.code == Code::Cancelled && fault.not_run));
}

#[tokio::test(start_paused = true)]
async fn a_mark_that_is_used_is_kept_and_one_that_is_not_goes() {
    let affinity = Affinity::default();
    let answer = |task: &str| format!(r#"{{"result":{{"taskId":"{task}"}}}}"#);
    let asked = |task: &str| format!(r#"{{"taskId":"{task}"}}"#);
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let begun = Instant::now();
    affinity.note(answer("polled").as_bytes(), 1, begun);
    affinity.note(answer("forgotten").as_bytes(), 2, begun);
    for count in [10, 20, 30, 40] {
        let now = begun + minutes(count);
        assert_eq!(affinity.child_of(Some(&asked("polled")), now), Some(1));
        affinity.note(answer(&format!("other-{count}")).as_bytes(), 3, now);
    }
    let now = begun + minutes(41);
    assert_eq!(affinity.child_of(Some(&asked("forgotten")), now), None);
    affinity.note(answer("last").as_bytes(), 3, begun + minutes(60));
    let now = begun + minutes(61);
    assert_eq!(affinity.child_of(Some(&asked("polled")), now), None);
}

#[tokio::test(start_paused = true)]
async fn a_child_is_awaited_until_nobody_came_back_for_a_while() {
    let affinity = Affinity::default();
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let begun = Instant::now();
    assert!(!affinity.is_awaited(1, begun), "it gave nobody anything");
    affinity.note(br#"{"result":{"taskId":"a"}}"#, 1, begun);
    assert!(affinity.is_awaited(1, begun + minutes(4)));
    let asked = affinity.child_of(Some(r#"{"taskId":"a"}"#), begun + minutes(4));
    assert_eq!(asked, Some(1));
    assert!(affinity.is_awaited(1, begun + minutes(8)));
    assert!(!affinity.is_awaited(1, begun + minutes(9)));
    affinity.forget(1);
    assert!(!affinity.is_awaited(1, begun + minutes(4)));
}

/// A dozen calls that are let in at once, each with the child that it is on.
fn let_in(guard: &Arc<Guard>, on: impl Fn(usize) -> usize) -> Vec<ChildRouter> {
    let children: Vec<_> = (0..12).map(|_| router()).collect();
    for nth in 0..12 {
        let ticket = guard.admit().expect("it is closed");
        let (id, owner) = (RawId::new(&nth.to_string()), Owner::Nobody);
        let flight = Flight::admitted(id, None, owner, true, Manner::Modern, Some(ticket));
        children[on(nth)].flights.insert(&flight, begun()).unwrap();
    }
    children
}

#[tokio::test]
async fn each_death_of_a_process_is_a_failure_however_many_calls_it_had() {
    let guard = |is_one_server| Guard::new(BreakerOptions::default(), is_one_server);
    let death = Death::StdoutClosed;
    let many = guard(false);
    for child in let_in(&many, |nth| nth) {
        child.on_death(&death);
    }
    assert_eq!(many.state(), BreakerState::Open, "each had a process");
    let one = guard(false);
    for child in let_in(&one, |_| 0) {
        child.on_death(&death);
    }
    assert_eq!(one.state(), BreakerState::Closed, "all had the same");
    let server = guard(true);
    for child in let_in(&server, |nth| nth) {
        let own = RequestId::Integer(1 << 14);
        child.on_fault(&own, Fault::new(Code::ChildDied, "broken"));
    }
    assert_eq!(server.state(), BreakerState::Closed, "it went once");
}

#[tokio::test(start_paused = true)]
async fn times_that_change_count_for_the_next_request_of_a_child_that_runs() {
    let flights = Flights::new(4, limits());
    let before = flights.insert(&flight("1", 1), begun()).unwrap();
    let longer = Timeouts {
        idle: 2 * SILENCE,
        ..limits()
    };
    flights.tune(4, longer);
    let after = flights.insert(&flight("2", 1), begun()).unwrap();
    for own in [before, after] {
        flights.renew(own, Instant::now()).unwrap();
    }
    for (own, silence) in [(before, SILENCE), (after, 2 * SILENCE)] {
        let over = flights.take_expired(Instant::now() + silence);
        assert_eq!((over.len(), over[0].0), (1, own));
    }
}

/// The window is between a look at what a child has and the news that it takes nothing more.
#[test]
fn a_child_that_leaves_ends_no_request_that_came_in_time() {
    let flights = Flights::new(4, limits());
    let leaving = || Fault::new(Code::ChildDied, "it leaves");
    let own = flights.insert(&flight("1", 1), begun()).unwrap();
    assert!(!flights.close_idle(leaving()), "it has a request");
    assert!(flights.insert(&flight("2", 1), begun()).is_ok());
    flights.take(own);
    assert!(!flights.close_idle(leaving()));
    let left = flights.take_expired(begun().expires());
    assert_eq!(left.len(), 1);
    assert!(flights.close_idle(leaving()));
    let refused = flights.insert(&flight("3", 1), begun());
    assert!(matches!(refused, Err(Refused::Over(_))));
}
