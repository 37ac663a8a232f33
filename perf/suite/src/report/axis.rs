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
    /// As `Log`, with a mark at each number that there is and no others.
    Steps,
    /// Percentiles, each nine as far from the last as the one before.
    Nines,
}

/// A range of numbers on a range of places.
pub struct Axis {
    scale: Scale,
    /// The numbers that are marked, where they are those that there are.
    steps: Vec<f64>,
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
        let is_log = matches!(scale, Scale::Log | Scale::Steps);
        let numbers = numbers.filter(|number| !is_log || *number > 0.0);
        let mut least = numbers.clone().fold(f64::INFINITY, f64::min);
        let mut most = numbers.clone().fold(f64::NEG_INFINITY, f64::max);
        if !least.is_finite() {
            (least, most) = (1.0, 10.0);
        }
        match scale {
            // A line along the upper edge would be half of one.
            Scale::Linear => (least, most) = (least.min(0.0), most * 1.03),
            Scale::Log => (least, most) = (round_down(least), round_up(most)),
            Scale::Steps => (least, most) = (least / 1.15, most * 1.15),
            Scale::Nines => (least, most) = (0.0, LAST_NINE),
        }
        if most <= least {
            most = least + 1.0;
        }
        let mut steps: Vec<f64> = match scale {
            Scale::Steps => numbers.collect(),
            _ => Vec::new(),
        };
        steps.sort_by(f64::total_cmp);
        steps.dedup();
        Self {
            scale,
            steps,
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
            Scale::Log | Scale::Steps => number.max(self.least).log10(),
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
            Scale::Steps => self.steps.clone(),
            Scale::Nines => vec![0.0, 50.0, 90.0, 95.0, 99.0, 99.9, 99.99],
        };
        let text = |number: f64| match self.scale {
            Scale::Nines => format!("{number}"),
            _ if (1e3..1e4).contains(&number) => format!("{}k", short(number / 1e3)),
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

/// The steps of a decade that are round.
const ROUND: [f64; 3] = [1.0, 2.0, 5.0];
/// More marks than this are too many; then only the tens are marked.
const MOST_MARKS: usize = 9;

/// The greatest round number that is not above `number`; a hair above is rounding.
fn round_down(number: f64) -> f64 {
    let ten = 10_f64.powf(number.log10().floor());
    let below = ROUND.into_iter().rev().map(|step| step * ten);
    let mut below = below.filter(|round| *round <= number * 1.0001);
    below.next().unwrap_or(ten)
}

/// The least round number that is not below `number`.
fn round_up(number: f64) -> f64 {
    let ten = 10_f64.powf(number.log10().floor());
    let above = ROUND.into_iter().chain([10.0]).map(|step| step * ten);
    let mut above = above.filter(|round| *round >= number * 0.9999);
    above.next().unwrap_or(ten * 10.0)
}

fn logarithmic(least: f64, most: f64) -> Vec<f64> {
    let tens = || (least.log10().floor() as i32)..=(most.log10().ceil() as i32);
    let marks = |steps: &[f64]| -> Vec<f64> {
        let all = tens().flat_map(|ten| steps.iter().map(move |step| step * 10_f64.powi(ten)));
        all.filter(|mark| (least * 0.9999..=most * 1.0001).contains(mark))
            .collect()
    };
    let fine = marks(&ROUND);
    match fine.len() > MOST_MARKS {
        true => marks(&[1.0]),
        false => fine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scale: Scale, numbers: &[f64]) -> Vec<String> {
        let axis = Axis::over(scale, numbers.iter().copied(), 0.0, 100.0);
        axis.marks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn a_logarithmic_axis_ends_at_the_round_numbers_around_what_it_shows() {
        assert_eq!(
            texts(Scale::Log, &[0.45, 7.0]),
            ["0.2", "0.5", "1", "2", "5", "10"]
        );
        assert_eq!(texts(Scale::Log, &[3_100.0, 8_000.0]), ["2k", "5k", "10k"]);
    }

    #[test]
    fn an_axis_of_many_decades_marks_the_tens_alone() {
        assert_eq!(
            texts(Scale::Log, &[0.14, 9_000.0]),
            ["0.1", "1", "10", "100", "1k", "10k"]
        );
    }

    #[test]
    fn an_axis_of_steps_marks_what_there_is() {
        assert_eq!(
            texts(Scale::Steps, &[64.0, 2.0, 8.0, 8.0]),
            ["2", "8", "64"]
        );
    }
}
