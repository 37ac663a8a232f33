//! Events from any split of their bytes, and streams that come back, on a clock that stands still.

use std::time::Duration;

use tokio::time::Instant;

use super::{Reconnect, ReconnectOptions, SseEvent, SseParser, TooLong};

fn events(pieces: &[&[u8]]) -> Vec<SseEvent> {
    let mut parser = SseParser::new(1000);
    let mut found = Vec::new();
    for piece in pieces {
        parser.push(piece).unwrap();
        found.extend(std::iter::from_fn(|| parser.next()));
    }
    found
}

const STREAM: &[u8] = b"\xef\xbb\xbfid: 1-0\nretry: 700\ndata: \n\n: comment\n\nevent: message\r\ndata: a\r\ndata:b\r\n\r\nid: 1-1\rdata:  \xc3\xa4\xff\r\rignored\nretry: x\ndata\n\ndata: cut";

#[test]
fn any_split_of_the_bytes_gives_the_same_events() {
    let whole = events(&[STREAM]);
    assert_eq!(whole.len(), 4);
    assert_eq!(
        (whole[0].id.as_deref(), whole[0].retry),
        (Some("1-0"), Some(Duration::from_millis(700)))
    );
    assert_eq!(
        (whole[1].data.as_str(), whole[1].id.as_deref()),
        ("a\nb", Some("1-0"))
    );
    assert_eq!(
        (whole[2].data.as_str(), whole[2].id.as_deref()),
        (" \u{e4}\u{fffd}", Some("1-1"))
    );
    assert_eq!((whole[3].data.as_str(), whole[3].retry), ("", None));
    for at in 0..STREAM.len() {
        assert_eq!(
            events(&[&STREAM[..at], &STREAM[at..]]),
            whole,
            "split at {at}"
        );
    }
    let bytes: Vec<&[u8]> = STREAM.chunks(1).collect();
    assert_eq!(events(&bytes), whole);
}

#[test]
fn an_event_over_the_limit_is_an_error_and_the_ones_before_it_count() {
    let mut parser = SseParser::new(10);
    let long = parser.push(b"data: ok\n\ndata: much too long for it\n\n");
    assert_eq!(long, Err(TooLong { limit: 10 }));
    assert_eq!(parser.next().unwrap().data, "ok");
    let mut many = SseParser::new(100);
    let pushed = (0..100)
        .map(|_| many.push(b"data: line\n"))
        .find(Result::is_err);
    assert!(pushed.is_some(), "lines add up");
}

fn policy(seed: u64) -> Reconnect {
    Reconnect::new(ReconnectOptions::default(), seed)
}

fn message(id: &str) -> SseEvent {
    SseEvent {
        data: "x".into(),
        id: Some(id.into()),
        ..SseEvent::default()
    }
}

#[tokio::test(start_paused = true)]
async fn two_hundred_streams_that_are_cut_at_once_come_back_apart() {
    let now = Instant::now();
    let mut buckets = [0; 25];
    for seed in 0..200 {
        let mut stream = policy(seed);
        stream.opened(now);
        stream.event(&message("1-1"));
        let pause = stream.lost(now + Duration::from_millis(1)).unwrap();
        buckets[(pause.as_millis() / 100) as usize] += 1;
    }
    assert!(buckets.iter().all(|count| *count <= 20), "{buckets:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_and_drops_is_tried_twelve_times_in_thirty_seconds_at_most() {
    for seed in 0..2000 {
        let (mut stream, begun) = (policy(seed), Instant::now());
        let (mut now, mut connects) = (begun, 0);
        while now - begun < Duration::from_secs(30) {
            connects += 1;
            stream.opened(now);
            now += stream.lost(now).unwrap();
        }
        assert!(connects <= 12, "{connects} with seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_healthy_server_that_closes_every_thirty_seconds_is_not_backed_off() {
    let (mut stream, mut now) = (policy(7), Instant::now());
    for _ in 0..1000 {
        stream.opened(now);
        now += Duration::from_secs(30);
        let pause = stream.lost(now).unwrap();
        assert!(pause < ReconnectOptions::default().spread);
        assert_eq!(stream.failures(), 0);
        now += pause;
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_resets_nothing_and_an_event_does() {
    let (mut stream, now) = (policy(3), Instant::now());
    for failures in 1..=8 {
        stream.opened(now);
        stream.lost(now).unwrap();
        assert_eq!(stream.failures(), failures);
    }
    stream.opened(now);
    stream.event(&SseEvent {
        id: Some("1-0".into()),
        ..SseEvent::default()
    });
    stream.lost(now).unwrap();
    assert_eq!(
        stream.failures(),
        9,
        "an event without data is no sign of life"
    );
    stream.opened(now);
    stream.event(&message("1-1"));
    stream.lost(now).unwrap();
    assert_eq!(stream.failures(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_servers_pause_is_kept_and_the_last_id_is_what_is_resumed_after() {
    let (mut stream, now) = (policy(5), Instant::now());
    assert_eq!(stream.last_id(), None);
    stream.opened(now);
    stream.event(&SseEvent {
        retry: Some(Duration::from_secs(3)),
        ..message("2-7")
    });
    for _ in 0..20 {
        assert!(stream.lost(now).unwrap() >= Duration::from_secs(3));
        assert_eq!(stream.last_id(), Some("2-7"));
    }
    stream.event(&message(""));
    assert_eq!(stream.last_id(), None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_a_limit_is_given_up_after_it() {
    let options = ReconnectOptions {
        max_failures: Some(3),
        ..ReconnectOptions::default()
    };
    let (mut stream, now) = (Reconnect::new(options, 1), Instant::now());
    let pauses: Vec<_> = (0..5).map(|_| stream.lost(now).is_some()).collect();
    assert_eq!(pauses, [true, true, true, false, false]);
}
