//! Axis: from a number to a place, and the marks on the way.
//!
//! Promise: marks are round numbers within the range; an empty or inverted range is widened, never
//! divided by.
//! Cost: none.

use super::tone::short;

/// How numbers are laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    Linear,
    Log,
    /// Percentiles, each nine as far from the last as the one before.
    Nines,
}

/// A range of numbers on a range of places.
pub struct Axis {
    scale: Scale,
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

/// The percentile at which the scale of nines ends: a maximum is no percentile, but has to stand
/// somewhere.
const LAST_NINE: f64 = 99.995;

impl Axis {
    /// Covers `numbers` by places `from` to `to`.
    pub fn over(
        scale: Scale,
        numbers: impl Iterator<Item = f64> + Clone,
        from: f64,
        to: f64,
    ) -> Self {
        let numbers = numbers.filter(|number| number.is_finite());
        let numbers = numbers.filter(|number| scale != Scale::Log || *number > 0.0);
        let mut least = numbers.clone().fold(f64::INFINITY, f64::min);
        let mut most = numbers.fold(f64::NEG_INFINITY, f64::max);
        if !least.is_finite() {
            (least, most) = (1.0, 10.0);
        }
        match scale {
            Scale::Linear => least = least.min(0.0),
            Scale::Log => {
                least = 10_f64.powf(least.log10().floor());
                most = most.max(least * 1.001);
            }
            Scale::Nines => (least, most) = (0.0, LAST_NINE),
        }
        if most <= least {
            most = least + 1.0;
        }
        Self {
            scale,
            least,
            most,
            from,
            to,
        }
    }

    /// The place of a number.
    pub fn at(&self, number: f64) -> f64 {
        let step = |number: f64| match self.scale {
            Scale::Linear => number,
            Scale::Log => number.max(self.least).log10(),
            Scale::Nines => -(1.0 - number.min(LAST_NINE) / 100.0).log10(),
        };
        let part = (step(number) - step(self.least)) / (step(self.most) - step(self.least));
        self.from + (self.to - self.from) * part
    }

    /// Where marks stand, and what they say.
    pub fn marks(&self) -> Vec<(f64, String)> {
        let numbers: Vec<f64> = match self.scale {
            Scale::Linear => linear(self.least, self.most),
            Scale::Log => logarithmic(self.least, self.most),
            Scale::Nines => vec![0.0, 50.0, 90.0, 99.0, 99.9, 99.99],
        };
        let text = |number: f64| match self.scale {
            Scale::Nines => format!("{number}"),
            _ => short(number),
        };
        numbers
            .into_iter()
            .map(|number| (self.at(number), text(number)))
            .collect()
    }
}

fn linear(least: f64, most: f64) -> Vec<f64> {
    let rough = (most - least) / 5.0;
    let ten = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * ten);
    let step = step
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    let count = ((most - least) / step).floor() as usize;
    (0..=count).map(|at| least + at as f64 * step).collect()
}

fn logarithmic(least: f64, most: f64) -> Vec<f64> {
    let tens = (least.log10().round() as i32)..=(most.log10().floor() as i32);
    let wide = tens.clone().count() > 2;
    let steps: &[f64] = if wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let marks = tens.flat_map(|ten| steps.iter().map(move |step| step * 10_f64.powi(ten)));
    marks.filter(|mark| *mark <= most * 1.0001).collect()
}
