//! Requests of a shared child that is dead, or reads nothing.

use bytes::Bytes;

use super::child::{Request, SharedChild};
use super::era::Wanted;
use super::flights::Refused;
use super::group::Group;
use super::handshake::Handshaken;
use super::hello::Hello;
use super::hello_tests::SAID;
use super::pulse::Pulse;
use super::router::ChildRouter;
use super::tests::{SILENCE, begun, flight, fly, router, step};
use super::wear::Wear;
use crate::PoolOptions;
use crate::proxy::call::{Owner, Step};
use crate::proxy::guard::Guard;
use crate::proxy::live::Live;
use crate::proxy::options::{Mode, ServeOptions, Upstream};
use crate::proxy::peer::{Peer, PeerSource};
use crate::proxy::session::SessionTable;
use crate::proxy::tasks::Tasks;
use crate::proxy::wire::{Code, Envelope, Kind, RequestId, parse};
use crate::resilience::BreakerOptions;
use crate::sync::Arc;
use crate::transport::{Command, Death, LineSink, Subprocess};

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
                pulse: Arc::new(Pulse::new(Default::default())),
                kept: None,
            })
        }
    });
    let lease = pool.unwrap().acquire().await.unwrap();
    (Arc::new(SharedChild::new(lease)), router)
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
