//! Lines: how a number goes along another, a line a subject.
//!
//! Promise: every line is named at its end, and no two names overlap; both axes say their unit.
//! Cost: none.

use std::fmt::Write;

use super::axis::{Axis, Scale};
use super::tone::{class, escape};

/// One line.
pub struct Series {
    pub label: String,
    pub points: Vec<(f64, f64)>,
}

/// What stands at an axis.
pub struct Edge {
    pub title: String,
    pub scale: Scale,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 206.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 46.0;
/// The least distance between two names.
const APART: f64 = 15.0;

/// Draws the lines.
pub fn draw(title: &str, x: &Edge, y: &Edge, series: &[Series]) -> String {
    let points = series.iter().flat_map(|series| &series.points);
    let across = Axis::over(
        x.scale,
        points.clone().map(|point| point.0),
        LEFT,
        WIDTH - RIGHT,
    );
    let up = Axis::over(y.scale, points.map(|point| point.1), HEIGHT - BOTTOM, TOP);
    let mut svg = format!(
        r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#,
        escape(title)
    );
    svg += &frame(&across, &up, x, y);
    for one in series {
        svg += &line(&across, &up, one);
    }
    svg += &names(&up, series);
    svg + "</svg>"
}

fn frame(across: &Axis, up: &Axis, x: &Edge, y: &Edge) -> String {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    let mut svg = String::new();
    for (place, text) in across.marks() {
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{place:.1}" x2="{place:.1}" y1="{TOP}" y2="{bottom}"/><text class="mark" x="{place:.1}" y="{}" text-anchor="middle">{text}</text>"#,
            bottom + 15.0
        );
    }
    for (place, text) in up.marks() {
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{LEFT}" x2="{right}" y1="{place:.1}" y2="{place:.1}"/><text class="mark" x="{}" y="{:.1}" text-anchor="end">{text}</text>"#,
            LEFT - 6.0,
            place + 4.0
        );
    }
    let _ = write!(
        svg,
        r#"<text class="mark" x="{}" y="{}" text-anchor="middle">{}</text><text class="mark" transform="translate(13 {}) rotate(-90)" text-anchor="middle">{}</text>"#,
        (LEFT + right) / 2.0,
        HEIGHT - 10.0,
        escape(&x.title),
        (TOP + bottom) / 2.0,
        escape(&y.title)
    );
    svg
}

fn line(across: &Axis, up: &Axis, series: &Series) -> String {
    let class = class(&series.label);
    let places: Vec<(f64, f64)> = series
        .points
        .iter()
        .map(|(x, y)| (across.at(*x), up.at(*y)))
        .collect();
    let path: Vec<String> = places
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    let mut svg = format!(r#"<polyline class="{class}" points="{}"/>"#, path.join(" "));
    if places.len() <= 16 {
        for (x, y) in places {
            let _ = write!(
                svg,
                r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="2.6"/>"#
            );
        }
    }
    svg
}

/// The names at the ends, moved apart where lines end close together.
fn names(up: &Axis, series: &[Series]) -> String {
    let end = |series: &Series| series.points.last().map_or(0.0, |point| up.at(point.1));
    let mut ends: Vec<(f64, &str)> = series
        .iter()
        .map(|series| (end(series), series.label.as_str()))
        .collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut last = f64::NEG_INFINITY;
    for (place, _) in &mut ends {
        *place = place.max(last + APART);
        last = *place;
    }
    // What was pushed out at the bottom goes up again, and pushes those above it.
    let mut next = HEIGHT - 6.0;
    for (place, _) in ends.iter_mut().rev() {
        *place = place.min(next);
        next = *place - APART;
    }
    let mut svg = String::new();
    for (place, label) in ends {
        let x = WIDTH - RIGHT + 8.0;
        let _ = write!(
            svg,
            r#"<line class="{0} key" x1="{x}" x2="{1}" y1="{place:.1}" y2="{place:.1}"/><text class="label" x="{2}" y="{3:.1}">{4}</text>"#,
            class(label),
            x + 14.0,
            x + 19.0,
            place + 4.0,
            escape(label)
        );
    }
    svg
}
