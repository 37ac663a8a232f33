//! Exact: what was counted and weighed, not timed.
//!
//! Promise: every number is given as text beside its bar.
//! Cost: none while anything is measured.

use std::fmt::Write;

use super::axis::Scale;
use super::bars::{self, Bar};
use super::lines::{self, Series};
use super::plots::{axis, push};
use crate::counts::Cycle;
use crate::record::{Line, WEIGHT};

pub fn counts(lines: &[Line]) -> String {
    let mut text = String::new();
    for cycle in Cycle::ALL {
        for wanted in ["instructions", "allocations", "bytes allocated"] {
            text += &exact(&format!("{wanted} a {}", cycle.name()), lines);
        }
    }
    match text.is_empty() {
        true => text,
        false => format!(
            "<p class=\"soft\">A hit: an acquire and a release of what is idle. A wait: the same, while another \
             task waits for the only object.</p>{text}"
        ),
    }
}

/// Bars of numbers without a spread: those of this name.
fn exact(title: &str, lines: &[Line]) -> String {
    let named = lines.iter().filter_map(Line::exact);
    let bars: Vec<Bar> = named
        .filter(|exact| exact.what == title)
        .map(|exact| Bar {
            label: exact.subject.to_owned(),
            number: (exact.number * 100.0).round() / 100.0,
            spread: None,
        })
        .collect();
    match bars.is_empty() {
        true => String::new(),
        false => format!(
            "<h3>{title}</h3>{}",
            bars::draw(title, &format!("{title} (less is better)"), &bars)
        ),
    }
}

pub fn heap(lines: &[Line]) -> String {
    let mut text = exact(WEIGHT, lines);
    let mut series: Vec<Series> = Vec::new();
    for line in lines {
        if let Line::Heap {
            subject,
            seconds,
            allocated,
            ..
        } = line
        {
            push(&mut series, subject, (*seconds, *allocated as f64 / 1024.0));
        }
    }
    if !series.is_empty() {
        let (x, y) = (
            axis("seconds", Scale::Linear),
            axis("live heap, KiB", Scale::Linear),
        );
        let plot = lines::draw("live heap", &x, &y, &series);
        let _ = write!(text, "<h3>Live heap while operations go on</h3>{plot}");
    }
    text
}
