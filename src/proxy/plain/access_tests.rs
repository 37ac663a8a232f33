//! What a line says of time.

use std::time::Duration;

use super::{Asked, Context, Entry};
use crate::proxy::config::AccessLog;
use crate::proxy::watching::{AccessCounts, AccessWriter};
use crate::sync::Arc;

#[tokio::test]
async fn an_answer_does_not_begin_after_its_end_whenever_its_line_was_begun() {
    let path = std::env::temp_dir().join(format!("plunge-entry-{}.log", std::process::id()));
    let log = AccessLog::File(path.clone());
    let counts = Arc::<AccessCounts>::default();
    let writer = AccessWriter::open(&log, &counts).unwrap().unwrap();
    let asked = Asked {
        method: "GET",
        host: None,
        path: "/",
        upstream: None,
        trace: Context::begun(),
    };
    let mut entry = Entry::new(&writer, &asked);
    entry.answered(200, Some(Duration::from_secs(1)));
    drop(entry);
    counts.settle().await;
    let line = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["head_ms"], 1000.0);
    assert!(line["total_ms"].as_f64() >= Some(1000.0), "{line}");
}
