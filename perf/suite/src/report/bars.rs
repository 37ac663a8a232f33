//! Bars: one number a subject, with its spread.
//!
//! Promise: every bar carries its number as text; a logarithmic scale says that it is one.
//! Cost: none.

use std::fmt::Write;

use super::axis::{Axis, Scale};
use super::tone::{class, escape, short};

/// One bar.
pub struct Bar {
    pub label: String,
    pub number: f64,
    /// Least and most over the rounds; nothing where a number is exact.
    pub spread: Option<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const LABELS: f64 = 180.0;
const NUMBERS: f64 = 90.0;
const ROW: f64 = 22.0;
const AXIS: f64 = 40.0;

/// Draws the bars, logarithmic where they are far apart.
pub fn draw(title: &str, unit: &str, bars: &[Bar]) -> String {
    let spreads = bars.iter().flat_map(|bar| bar.spread);
    let all = bars.iter().map(|bar| bar.number);
    let all = all.chain(spreads.flat_map(|(least, most)| [least, most]));
    let positive = all.clone().filter(|number| *number > 0.0);
    let least = positive.clone().fold(f64::INFINITY, f64::min);
    let most = positive.fold(0.0, f64::max);
    let has_zero = bars.iter().any(|bar| bar.number <= 0.0);
    let scale = match most > 12.0 * least && !has_zero {
        true => Scale::Log,
        false => Scale::Linear,
    };
    // The shortest bar of a logarithmic scale is a bar, too.
    let below = (scale == Scale::Log).then_some(least * 0.6);
    let axis = Axis::over(scale, all.chain(below), LABELS, WIDTH - NUMBERS);
    let height = bars.len() as f64 * ROW;
    let mut svg = format!(
        r#"<svg viewBox="0 0 {WIDTH} {}" role="img" aria-label="{}">"#,
        height + AXIS,
        escape(title)
    );
    for (place, text) in axis.marks() {
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{place:.1}" x2="{place:.1}" y1="0" y2="{height}"/><text class="mark" x="{place:.1}" y="{}" text-anchor="middle">{text}</text>"#,
            height + 14.0
        );
    }
    let how = if scale == Scale::Log {
        ", logarithmic"
    } else {
        ""
    };
    let _ = write!(
        svg,
        r#"<text class="mark" x="{}" y="{}" text-anchor="middle">{}{how}</text>"#,
        (LABELS + WIDTH - NUMBERS) / 2.0,
        height + 32.0,
        escape(unit)
    );
    for (at, bar) in bars.iter().enumerate() {
        svg += &one(&axis, bar, at as f64 * ROW);
    }
    svg + "</svg>"
}

fn one(axis: &Axis, bar: &Bar, top: f64) -> String {
    let (end, middle) = (axis.at(bar.number).max(LABELS), top + ROW / 2.0);
    let class = class(&bar.label);
    let mut svg = format!(
        r#"<text class="label" x="{}" y="{}" text-anchor="end">{}</text><rect class="{class}" x="{LABELS}" y="{}" width="{:.1}" height="{}"/>"#,
        LABELS - 8.0,
        middle + 4.0,
        escape(&bar.label),
        top + 3.0,
        end - LABELS,
        ROW - 6.0
    );
    let mut right = end;
    if let Some((least, most)) = bar.spread {
        right = right.max(axis.at(most));
        let _ = write!(
            svg,
            r#"<line class="spread" x1="{:.1}" x2="{:.1}" y1="{middle}" y2="{middle}"/>"#,
            axis.at(least),
            axis.at(most)
        );
    }
    let _ = write!(
        svg,
        r#"<text class="number" x="{:.1}" y="{}">{}</text>"#,
        right + 6.0,
        middle + 4.0,
        short(bar.number)
    );
    svg
}
