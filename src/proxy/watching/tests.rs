//! Counts, times and traces.

use std::io::{self, Write};
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderValue};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::sync::Arc;

use super::{AccessCounts, AccessWriter, Histogram, Trace, percentile};

#[test]
fn a_time_is_in_a_bucket_that_is_at_most_a_quarter_too_long() {
    for us in (1..5000).chain([1 << 20, (1 << 20) + 1, 3_000_000, u64::from(u32::MAX)]) {
        let histogram = Histogram::default();
        histogram.record(Duration::from_micros(us));
        let counts = histogram.counts();
        assert_eq!(counts.len(), 1);
        let (upper, count) = counts[0];
        assert_eq!(count, 1);
        assert!(upper >= us && upper <= us + us / 4 + 1, "{us} in {upper}");
    }
}

#[test]
fn powers_of_two_are_the_ends_of_buckets() {
    for power in 3..30 {
        let histogram = Histogram::default();
        histogram.record(Duration::from_micros(1 << power));
        assert_eq!(histogram.counts(), [(1 << power, 1)]);
    }
}

#[test]
fn percentiles_are_read_off_the_buckets() {
    let histogram = Histogram::default();
    for us in 1..=1000 {
        histogram.record(Duration::from_micros(us));
    }
    let counts = histogram.counts();
    assert_eq!(percentile(&counts, 50.0), 512);
    assert_eq!(percentile(&counts, 99.0), 1024);
    assert_eq!(percentile(&[], 99.0), 0);
    assert_eq!(histogram.sum_us(), 500_500);
}

fn traced(parent: &'static str) -> Trace {
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", HeaderValue::from_static(parent));
    headers.insert("tracestate", HeaderValue::from_static("a=b"));
    Trace::of(&headers)
}

#[test]
fn a_trace_goes_on_with_a_span_of_the_proxy() {
    let trace = traced("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let mut headers = HeaderMap::new();
    trace.write(&mut headers);
    let written = headers["traceparent"].to_str().unwrap();
    assert!(
        written.starts_with("00-0af7651916cd43dd8448eb211c80319c-"),
        "{written}"
    );
    assert!(
        written.ends_with("-01") && !written.contains("b7ad6b7169203331"),
        "{written}"
    );
    assert_eq!(headers["tracestate"], "a=b");
    assert_eq!(trace.context().id(), "0af7651916cd43dd8448eb211c80319c");
}

#[test]
fn a_malformed_trace_is_replaced_and_its_state_dropped() {
    for parent in [
        "",
        "00",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
    ] {
        let mut headers = HeaderMap::new();
        traced(parent).write(&mut headers);
        let written = headers["traceparent"].to_str().unwrap();
        assert_eq!(written.len(), 55, "{parent}: {written}");
        assert!(
            !written.contains("0af7651916cd43dd8448eb211c80319"),
            "{parent}: {written}"
        );
        assert!(!headers.contains_key("tracestate"));
    }
}

#[test]
fn a_trace_of_a_later_version_goes_on_in_this_one() {
    let trace = traced("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-09-more");
    let text = String::from_utf8(trace.context().text().to_vec()).unwrap();
    assert!(
        text.starts_with("00-0af7651916cd43dd8448eb211c80319c-"),
        "{text}"
    );
    assert!(text.ends_with("-01"), "{text}");
}

#[test]
fn new_traces_differ() {
    let empty = HeaderMap::new();
    let (one, other) = (Trace::of(&empty), Trace::of(&empty));
    assert_ne!(one.context().id(), other.context().id());
    assert_ne!(one.context().span(), other.context().span());
}

/// A disk that takes what it is asked to take only when it is let, and shows it.
struct Disk {
    lets: UnboundedReceiver<io::Result<()>>,
    shows: UnboundedSender<Vec<u8>>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Where nobody is left to let it, it fails.
        let full = || Err(io::ErrorKind::StorageFull.into());
        self.lets.blocking_recv().unwrap_or_else(full)?;
        let _ = self.shows.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_access_log_is_flushed_when_its_lines_are_on_the_disk() {
    let ((let_it, lets), (shows, mut shown)) = (unbounded_channel(), unbounded_channel());
    let counts = Arc::<AccessCounts>::default();
    let writer = AccessWriter::to(Box::new(Disk { lets, shows }), &counts).unwrap();
    writer.write("one\n".into());
    writer.write("two\n".into());
    let mut flushed = Box::pin(counts.settle());
    assert!(futures::poll!(flushed.as_mut()).is_pending());
    assert!(shown.try_recv().is_err());
    // The first may have gone alone.
    for _ in 0..2 {
        let_it.send(Ok(())).unwrap();
    }
    flushed.await;
    let written: Vec<u8> = std::iter::from_fn(|| shown.try_recv().ok())
        .flatten()
        .collect();
    assert_eq!((&*written, counts.dropped()), (&b"one\ntwo\n"[..], 0));
}

#[tokio::test]
async fn a_line_that_the_disk_does_not_take_is_counted() {
    let ((let_it, lets), (shows, mut shown)) = (unbounded_channel(), unbounded_channel());
    let counts = Arc::<AccessCounts>::default();
    let writer = AccessWriter::to(Box::new(Disk { lets, shows }), &counts).unwrap();
    drop(let_it);
    let long = "x".repeat(100 << 10);
    for _ in 0..3 {
        writer.write(long.clone());
    }
    counts.settle().await;
    assert_eq!(counts.dropped(), 3);
    assert!(shown.try_recv().is_err());
    drop(writer);
    let (shows, _) = unbounded_channel();
    let again = AccessWriter::to(
        Box::new(Disk {
            lets: unbounded_channel().1,
            shows,
        }),
        &counts,
    )
    .unwrap();
    again.write(long);
    counts.settle().await;
    assert_eq!(counts.dropped(), 4, "of all writers together");
    again.write("short".into());
    again.write(" line\n".into());
    drop(again);
    counts.settle().await;
    assert!(
        counts.dropped() > 4,
        "what was in the buffer is counted, too"
    );
}
