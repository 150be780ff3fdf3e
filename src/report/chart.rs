//! A chart of the last hour, as SVG: the bits per second that hosts received (down) and sent (up).
//!
//! The curves are stretched to the width of the page, and the text is not: curves are in a nested
//! `svg` with a `viewBox`, and the text around it has positions in percent. So the chart is as
//! readable on a phone as on a wide screen. Colours are in the style sheet.

mod scale;

use std::time::Duration;

use maud::{Markup, Render, html};

use super::units;
use scale::Scale;

/// The width and the height of the curves, in units of their `viewBox`.
const SIZE: u64 = 1000;
/// Where the curves begin and end, in percent of the height of the chart. Above and below is text.
const TOP: u64 = 10;
const BOTTOM: u64 = 86;
/// The possible lengths of the time axis. The shortest that holds all samples is used.
const SPANS: [Duration; 6] = [
    Duration::from_mins(2),
    Duration::from_mins(4),
    Duration::from_mins(10),
    Duration::from_mins(20),
    Duration::from_mins(30),
    Duration::from_hours(1),
];

/// The traffic of all hosts between two moments, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// How long before the chart was made the sample began and ended.
    pub began: Duration,
    pub ended: Duration,
    pub received: u64,
    pub sent: u64,
}

/// A chart of samples, the oldest first, each of which begins where the one before ends.
#[derive(Debug)]
pub(crate) struct Chart {
    span: Duration,
    scale: Scale,
    down: Curve,
    up: Curve,
}

/// One direction: its rate from each moment on, in bits per second, and where the curve ends.
#[derive(Debug)]
struct Curve {
    /// The horizontal position and the rate of each step.
    steps: Vec<(u64, u64)>,
    end: u64,
}

impl Chart {
    /// `None` without a sample that lasts any time.
    pub(crate) fn of(samples: &[Sample]) -> Option<Self> {
        let samples = samples.iter().filter(|sample| sample.began > sample.ended);
        let samples: Vec<_> = samples.copied().collect();
        let age = samples.first()?.began;
        let [.., longest] = SPANS;
        let span = SPANS.into_iter().find(|span| age <= *span);
        let span = span.unwrap_or(longest);
        let down = Curve::of(&samples, span, |sample| sample.received);
        let up = Curve::of(&samples, span, |sample| sample.sent);
        Some(Self {
            span,
            scale: Scale::up_to(down.most().max(up.most())),
            down,
            up,
        })
    }

    /// The text for people who do not see the chart.
    fn description(&self) -> String {
        let sentence = |name, curve: &Curve| {
            format!(
                "{name}: {} now, at most {}.",
                units::rate(curve.newest()),
                units::rate(curve.most())
            )
        };
        let (down, up) = (sentence("Down", &self.down), sentence("Up", &self.up));
        format!("Bits per second, averaged over each minute. {down} {up}")
    }

    /// Names a curve, beside a piece of it.
    fn legend(name: &str, class: &str, sign: &str, curve: &Curve) -> Markup {
        html! {
            span class={ "key " (class) } {
                svg aria-hidden="true" viewBox="0 0 20 10" {
                    path class=(class) d=(sign) {}
                }
                (name) " " (units::rate(curve.newest()))
                small { "at most " (units::rate(curve.most())) }
            }
        }
    }

    fn vertical(&self, rate: u64) -> u64 {
        SIZE - self.scale.position(rate, SIZE)
    }

    /// The commands that draw the steps of a curve, from its first point on.
    fn steps(&self, curve: &Curve) -> String {
        let steps = curve.steps.iter();
        let steps = steps.map(|(x, rate)| format!("H{x}V{}", self.vertical(*rate)));
        format!("{}H{}", steps.collect::<String>(), curve.end)
    }

    /// A curve as a line.
    fn line(&self, curve: &Curve) -> String {
        let (x, rate) = curve.steps.first().copied().unwrap_or_default();
        format!("M{x},{}{}", self.vertical(rate), self.steps(curve))
    }

    /// The area below a curve.
    fn area(&self, curve: &Curve) -> String {
        let (x, _) = curve.steps.first().copied().unwrap_or_default();
        format!("M{x},{SIZE}{}V{SIZE}Z", self.steps(curve))
    }

    fn grid(&self) -> String {
        let lines = std::iter::once(0).chain(self.scale.ticks());
        let lines = lines.map(|rate| format!("M0,{}H{SIZE}", self.vertical(rate)));
        lines.collect()
    }

    /// The height of a rate in percent of the whole chart.
    fn percent(&self, rate: u64) -> String {
        let thousandths = self.vertical(rate) * (BOTTOM - TOP);
        format!("{}%", TOP as f64 + thousandths as f64 / SIZE as f64)
    }
}

impl Render for Chart {
    fn render(&self) -> Markup {
        let height = BOTTOM - TOP;
        let ago = |time| format!("{} ago", units::duration(time));
        html! {
            p.legend {
                (Self::legend("Down", "down", "M0,10V2H20V10", &self.down))
                (Self::legend("Up", "up", "M0,6H20", &self.up))
            }
            svg.chart role="img" aria-labelledby="chart-title chart-description" {
                title #chart-title { "Down and up in the last " (units::duration(self.span)) }
                desc #chart-description { (self.description()) }
                svg y={ (TOP) "%" } width="100%" height={ (height) "%" }
                    viewBox={ "0 0 " (SIZE) " " (SIZE) } preserveAspectRatio="none" {
                    path.grid d=(self.grid()) {}
                    path.down d=(self.area(&self.down)) {}
                    path.up d=(self.line(&self.up)) {}
                }
                @for rate in self.scale.ticks() {
                    text y=(self.percent(rate)) dy="-.3em" { (self.scale.label(rate)) }
                }
                text y="97%" { (ago(self.span)) }
                text x="50%" y="97%" text-anchor="middle" { (ago(self.span / 2)) }
                text x="100%" y="97%" text-anchor="end" { "now" }
            }
        }
    }
}

impl Curve {
    fn of(samples: &[Sample], span: Duration, bytes: impl Fn(&Sample) -> u64) -> Self {
        let step = |sample: &Sample| {
            let rate = bits_per_second(bytes(sample), sample.began.saturating_sub(sample.ended));
            (horizontal(sample.began, span), rate)
        };
        let ended = samples.last().map_or(Duration::ZERO, |sample| sample.ended);
        Self {
            steps: samples.iter().map(step).collect(),
            end: horizontal(ended, span),
        }
    }

    fn newest(&self) -> u64 {
        self.steps.last().map_or(0, |(_, rate)| *rate)
    }

    fn most(&self) -> u64 {
        let rates = self.steps.iter().map(|(_, rate)| *rate);
        rates.max().unwrap_or_default()
    }
}

/// The position of a moment this long ago. What is older than the axis is at its left end.
fn horizontal(ago: Duration, span: Duration) -> u64 {
    let ago = ago.min(span).as_millis() * u128::from(SIZE) / span.as_millis();
    SIZE - u64::try_from(ago).unwrap_or(SIZE)
}

/// The rate of this many bytes in a time that is not zero, rounded down.
fn bits_per_second(bytes: u64, time: Duration) -> u64 {
    let nanobits = u128::from(bytes) * 8 * 1_000_000_000;
    u64::try_from(nanobits / time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
