//! Plots: what was timed, a plot for each case and each side that the cores were on.
//!
//! Promise: no plot mixes rounds with the cores near each other and rounds with the cores far apart.
//! Cost: none while anything is measured.

use std::fmt::Write;

use plunge_peers::harness::{CASES, Case, Side};

use super::axis::Scale;
use super::bars::{self, Bar};
use super::lines::{self, Edge, Series};
use super::tone::{escape, is_toned};
use crate::record::Line;
use crate::rows::{Part, Row, parts};

/// The cases of one kind, by their number of tasks.
pub fn tasks(lines: &[Line]) -> String {
    #[rustfmt::skip]
    let plots: [(&str, &[&str]); 3] = [
        ("Without an await in the hold", &["hits_2", "two_workers", "hits_32", "hits_64"]),
        ("Holding over a yield", &["yields_2", "yields_8", "yields_32", "yields_64"]),
        ("Operating-system threads", &["threads_2", "threads_8", "threads_32"]),
    ];
    let mut text = String::new();
    for (title, names) in plots {
        for side in [Side::Any, Side::Near, Side::Far, Side::Crowded] {
            text += &tasks_on(side, title, names, lines);
        }
    }
    text
}

/// The plot of one side; nothing where it has no two points.
fn tasks_on(side: Side, title: &str, names: &[&str], lines: &[Line]) -> String {
    let mut series: Vec<Series> = Vec::new();
    for case in CASES.iter().filter(|case| names.contains(&case.name)) {
        let parts = parts(lines, case.name).parts.into_iter();
        for row in parts
            .filter(|part| part.side == side)
            .flat_map(|part| part.rows)
        {
            if is_toned(row.subject) {
                let point = (case.tasks as f64, case.in_unit(row.time().0).0);
                push(&mut series, row.subject, point);
            }
        }
    }
    if !series.iter().any(|series| series.points.len() > 1) {
        return String::new();
    }
    let title = match side {
        Side::Any => title.to_owned(),
        side => format!("{title}, cores {}", side.name()),
    };
    let (x, y) = (
        axis("tasks", Scale::Steps),
        axis("million cycles/s", Scale::Log),
    );
    let plot = lines::draw(&title, &x, &y, &series);
    format!("<h3>{title}</h3>{plot}")
}

pub fn axis(title: &str, scale: Scale) -> Edge {
    let title = title.to_owned();
    Edge { title, scale }
}

pub fn push(series: &mut Vec<Series>, label: &str, point: (f64, f64)) {
    match series.iter_mut().find(|series| series.label == label) {
        Some(series) => series.points.push(point),
        None => series.push(Series {
            label: label.to_owned(),
            points: vec![point],
        }),
    }
}

/// Who starves callers is not drawn: the waits of those who never got an object are in no percentile.
const STARVED: f64 = 0.005;

pub fn waits(lines: &[Line]) -> String {
    let mut text = String::new();
    for case in CASES.iter().filter(|case| case.shape.has_waits()) {
        let plots = parts(lines, case.name).parts;
        let plots = plots.iter().map(|part| (part, wait_plot(case, part)));
        text += &headed(case, lines, plots);
    }
    text
}

fn wait_plot(case: &Case, part: &Part<'_>) -> String {
    let toned = part.rows.iter().filter(|row| is_toned(row.subject));
    let (drawn, starving): (Vec<_>, Vec<_>) = toned
        .filter(|row| !row.waits().is_empty())
        .partition(|row| row.evenness() >= STARVED);
    let series = drawn.iter().map(|row| Series {
        label: row.subject.to_owned(),
        points: row.waits(),
    });
    let series: Vec<Series> = series.collect();
    if series.is_empty() {
        return String::new();
    }
    let (x, y) = (
        axis("percentile (the last point is the maximum)", Scale::Nines),
        axis("wait, µs", Scale::Log),
    );
    lines::draw(case.name, &x, &y, &series) + &left_out(&starving)
}

fn left_out(starving: &[&Row<'_>]) -> String {
    let names: Vec<String> = starving.iter().map(|row| escape(row.subject)).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(
            "<p class=\"soft\">Not drawn: {}. Some of its callers got nothing while others went round and \
             round; the waits it counts are those of the lucky ones.</p>",
            names.join(", ")
        ),
    }
}

/// A case's name, what it isolates, and its plots, one for each side that the cores were on.
fn headed<'a>(
    case: &Case,
    lines: &[Line],
    plots: impl Iterator<Item = (&'a Part<'a>, String)>,
) -> String {
    let mut body = String::new();
    for (part, plot) in plots.filter(|(_, plot)| !plot.is_empty()) {
        let _ = match part.side {
            Side::Any => write!(body, "{plot}"),
            side => write!(
                body,
                "<h4>cores {}, {} blocks each</h4>{plot}",
                side.name(),
                part.blocks
            ),
        };
    }
    if body.is_empty() {
        return body;
    }
    let parts = parts(lines, case.name);
    let moved = match parts.left_out {
        0 => String::new(),
        count => format!(
            " Left out: {count} of {} blocks, during which the cores moved or were shared.",
            parts.blocks
        ),
    };
    format!(
        r#"<h3>{}</h3><p class="soft">{}.{moved}</p>{body}"#,
        case.name,
        escape(case.isolates)
    )
}

pub fn cases(lines: &[Line]) -> String {
    let mut text = String::new();
    for case in CASES {
        let plots = parts(lines, case.name).parts;
        let plots = plots.iter().map(|part| (part, speed_plot(case, part)));
        text += &headed(case, lines, plots);
    }
    text
}

fn speed_plot(case: &Case, part: &Part<'_>) -> String {
    let number = |ns| case.in_unit(ns).0;
    let bar = |row: &Row<'_>| {
        let (middle, least, most) = row.time();
        let (a, b) = (number(least), number(most));
        Bar {
            label: row.subject.to_owned(),
            number: number(middle),
            spread: Some((a.min(b), a.max(b))),
        }
    };
    let bars: Vec<Bar> = part.rows.iter().map(bar).collect();
    let better = if case.less_is_better() {
        "less"
    } else {
        "more"
    };
    let unit = format!("{} ({better} is better)", case.in_unit(1.0).1);
    bars::draw(case.name, &unit, &bars)
}
