//! Counts, times and traces.

use std::time::Duration;

use hyper::header::{HeaderMap, HeaderValue};

use super::{Histogram, Trace, percentile};

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
