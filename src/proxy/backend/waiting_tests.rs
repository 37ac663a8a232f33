//! How long a call waits for a child that does not come.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, pause, resume};

use super::{Backend, Exchange};
use crate::proxy::call::Manner;
use crate::proxy::http::{Accepts, Version};
use crate::proxy::live::Live;
use crate::proxy::options::{Mode, ServeOptions, Upstream};
use crate::proxy::session::SessionTable;
use crate::proxy::tasks::Tasks;
use crate::proxy::wire::{Code, Fault, RawId, parse};
use crate::resilience::{Deadline, Timeouts};
use crate::sync::Arc;
use crate::transport::Command;

/// Seconds that a call has in all: less than any other time of the defaults.
const OVERALL: u64 = 1;
const LINE: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;

/// A backend of this mode with one child at most, which says nothing; so many are kept ready.
fn mute(mode: Mode, min_idle: u32) -> (Backend, Arc<SessionTable>) {
    let options = ServeOptions {
        max_connections: Some(1),
        min_idle,
        ..ServeOptions::new(Upstream::Stdio(Command::new("sleep").arg("600")), mode)
    };
    let sessions = Arc::new(SessionTable::new(10));
    let backend = Backend::new(&Live::new(options), &sessions, &Tasks::default());
    (backend.unwrap(), sessions)
}

fn deadline(overall: u64) -> Deadline {
    let limits = Timeouts {
        overall: Duration::from_secs(overall),
        ..Timeouts::default()
    };
    Deadline::new(&limits, Instant::now())
}

fn exchange(overall: u64) -> Exchange {
    Exchange {
        body: Bytes::from_static(LINE),
        accepts: Accepts {
            json: true,
            stream: true,
        },
        session: None,
        version: Version::LATEST,
        deadline: deadline(overall),
        manner: Manner::Legacy,
        retries: 0,
    }
}

/// What became of it, and after how many seconds.
async fn ended<T>(asked: impl Future<Output = Result<T, Fault>>) -> (Code, u64) {
    let begun = Instant::now();
    let fault = asked.await.err().expect("nobody answers");
    (fault.code, begun.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_no_longer_for_a_start_than_it_may_take_in_all() {
    let message = parse(LINE).unwrap();
    for mode in [Mode::Shared, Mode::Stateless, Mode::Exclusive] {
        let (backend, _) = mute(mode, 0);
        let exchange = exchange(OVERALL);
        let called = ended(backend.call("1", &message, &exchange)).await;
        assert_eq!(called, (Code::NoChild, OVERALL), "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_what_the_children_are_waits_no_longer_either() {
    let message = parse(LINE).unwrap();
    for mode in [Mode::Shared, Mode::Stateless, Mode::Exclusive] {
        let (backend, sessions) = mute(mode, 0);
        let exchange = exchange(OVERALL);
        let begun = backend.initialize(&sessions, RawId::new("1"), &message, &exchange);
        assert_eq!(ended(begun).await, (Code::NoChild, OVERALL), "{mode:?}");
    }
    for mode in [Mode::Shared, Mode::Exclusive, Mode::Session] {
        let (backend, _) = mute(mode, 0);
        let asked = ended(backend.modern_hello(deadline(OVERALL))).await;
        assert_eq!(asked, (Code::NoChild, OVERALL), "{mode:?}");
    }
}

#[tokio::test]
async fn a_call_waits_no_longer_for_what_others_have_than_it_may_take_in_all() {
    let message = parse(LINE).unwrap();
    let (backend, _) = mute(Mode::Oneshot, 0);
    let long = exchange(60);
    let _has_it = backend.call("1", &message, &long).await.unwrap();
    pause();
    let exchange = exchange(OVERALL);
    let called = ended(backend.call("2", &message, &exchange)).await;
    assert_eq!(called, (Code::Busy, OVERALL));
}

#[tokio::test]
async fn an_initialize_takes_no_longer_in_all_either() {
    let message = parse(LINE).unwrap();
    for (is_taken, code) in [(true, Code::Busy), (false, Code::TimedOut)] {
        let (backend, sessions) = mute(Mode::Session, 1);
        backend.warm().await.unwrap();
        let taken = match is_taken {
            true => backend.seat().await.unwrap(),
            false => None,
        };
        pause();
        let exchange = exchange(OVERALL);
        let begun = backend.initialize(&sessions, RawId::new("1"), &message, &exchange);
        assert_eq!(ended(begun).await, (code, OVERALL));
        resume();
        drop(taken);
    }
}
