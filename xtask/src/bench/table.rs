//! The results: rows that are printed as a table or as JSON.

use std::fmt;

use serde::Serialize;

use super::process::Usage;

/// The upper limit for a quantity: `times` the peer's value, plus `plus`.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Goal {
    times: f64,
    plus: f64,
}

impl Goal {
    pub(super) const fn times(times: f64) -> Self {
        Self { times, plus: 0.0 }
    }

    pub(super) const fn at_most(plus: f64) -> Self {
        Self { times: 0.0, plus }
    }
}

/// One quantity of one case.
#[derive(Serialize)]
pub(super) struct Row {
    case: &'static str,
    /// With its unit.
    quantity: &'static str,
    ours: Figures,
    peer: Option<String>,
    theirs: Option<Figures>,
    /// The exporter's value divided by the peer's, for each pair of runs.
    ratio: Option<Spread>,
    goal: Option<Goal>,
    met: Option<bool>,
}

/// Medians.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Figures {
    value: f64,
    cpu_seconds: Option<f64>,
    peak_mib: Option<f64>,
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Row {
    /// Creates a row for the exporter without a peer.
    pub(super) fn without_peer(
        case: &'static str,
        quantity: &'static str,
        ours: &[f64],
        goal: Option<Goal>,
    ) -> Self {
        let ours = Figures::plain(ours);
        Self {
            case,
            quantity,
            ours,
            peer: None,
            theirs: None,
            ratio: None,
            goal,
            met: goal.map(|goal| ours.value <= goal.plus),
        }
    }

    /// Creates a row that compares the exporter with a peer. The values are in the order of the runs.
    pub(super) fn compared(
        case: &'static str,
        quantity: &'static str,
        ours: &[f64],
        peer: impl Into<String>,
        theirs: &[f64],
        goal: Option<Goal>,
    ) -> Self {
        let pairs = ours.iter().zip(theirs);
        let ratios: Vec<f64> = pairs
            .filter(|(_, theirs)| **theirs > 0.0)
            .map(|(ours, theirs)| ours / theirs)
            .collect();
        let ratio = Spread::of(&ratios);
        let (ours, theirs) = (Figures::plain(ours), Figures::plain(theirs));
        let met = goal.map(|goal| match ratio {
            Some(ratio) if goal.plus == 0.0 => ratio.median <= goal.times,
            _ => ours.value <= goal.times.mul_add(theirs.value, goal.plus),
        });
        Self {
            case,
            quantity,
            ours,
            peer: Some(peer.into()),
            theirs: Some(theirs),
            ratio,
            goal,
            met,
        }
    }

    /// Creates a row that compares the wall time of processes. The peer had a smaller input, so its
    /// values are multiplied by `scale`.
    pub(super) fn processes(
        case: &'static str,
        ours: &[Usage],
        peer: &str,
        theirs: &[Usage],
        scale: f64,
        goal: Option<Goal>,
    ) -> Self {
        let wall = |usages: &[Usage], scale: f64| -> Vec<f64> {
            usages.iter().map(|usage| usage.wall * scale).collect()
        };
        let mut row = Self::compared(
            case,
            "wall s",
            &wall(ours, 1.0),
            peer,
            &wall(theirs, scale),
            goal,
        );
        row.ours = row.ours.with(ours, 1.0);
        row.theirs = row.theirs.map(|figures| figures.with(theirs, scale));
        row
    }
}

impl Figures {
    fn plain(values: &[f64]) -> Self {
        Self {
            value: median(values),
            cpu_seconds: None,
            peak_mib: None,
        }
    }

    fn with(self, usages: &[Usage], scale: f64) -> Self {
        let all = |part: fn(&Usage) -> f64| usages.iter().map(part).collect::<Vec<_>>();
        Self {
            cpu_seconds: Some(median(&all(|usage| usage.cpu)) * scale),
            peak_mib: Some(median(&all(|usage| usage.peak_mib))),
            ..self
        }
    }
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let least = values.iter().copied().reduce(f64::min)?;
        let most = values.iter().copied().reduce(f64::max)?;
        Some(Self {
            median: median(values),
            least,
            most,
        })
    }
}

/// Returns the median, or 0 if there are no values.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.get(sorted.len() / 2), sorted.len() % 2) {
        (Some(upper), 0) => f64::midpoint(sorted[sorted.len() / 2 - 1], *upper),
        (Some(middle), _) => *middle,
        (None, _) => 0.0,
    }
}

/// The rows as text, in columns.
pub(super) struct Table<'a>(pub(super) &'a [Row]);

const TITLES: [&str; 12] = [
    "case",
    "quantity",
    "ours",
    "cpu s",
    "peak MiB",
    "peer",
    "theirs",
    "cpu s",
    "peak MiB",
    "ratio (spread)",
    "goal",
    "met",
];
/// Columns of text; the others are numbers.
const TEXT: [usize; 3] = [0, 1, 5];

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = TITLES.map(str::to_owned);
        let lines: Vec<_> = std::iter::once(titles)
            .chain(self.0.iter().map(cells))
            .collect();
        let mut widths = [0; TITLES.len()];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        for line in &lines {
            let padded = line.iter().zip(&widths).enumerate();
            let padded = padded.map(|(column, (cell, &width))| {
                if TEXT.contains(&column) {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
            let text = padded.collect::<Vec<_>>().join("  ");
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

fn cells(row: &Row) -> [String; TITLES.len()] {
    let figures = |figures: Option<Figures>| {
        let cpu = figures.and_then(|figures| figures.cpu_seconds);
        let peak = figures.and_then(|figures| figures.peak_mib);
        [figures.map(|figures| figures.value), cpu, peak].map(number)
    };
    let [ours, our_cpu, our_peak] = figures(Some(row.ours));
    let [theirs, their_cpu, their_peak] = figures(row.theirs);
    let ratio = row.ratio.map_or_else(String::new, |ratio| {
        let [median, least, most] =
            [ratio.median, ratio.least, ratio.most].map(|value| number(Some(value)));
        format!("{median} ({least} to {most})")
    });
    let goal = row.goal.map_or_else(String::new, |goal| {
        let times = number(Some(goal.times));
        let plus = number(Some(goal.plus));
        match (goal.times > 0.0, goal.plus > 0.0) {
            (true, true) => format!("<= {times} x + {plus}"),
            (true, false) => format!("<= {times} x"),
            _ => format!("<= {plus}"),
        }
    });
    let met = row.met.map_or("", |met| if met { "yes" } else { "NO" });
    [
        row.case.to_owned(),
        row.quantity.to_owned(),
        ours,
        our_cpu,
        our_peak,
        row.peer.clone().unwrap_or_default(),
        theirs,
        their_cpu,
        their_peak,
        ratio,
        goal,
        met.to_owned(),
    ]
}

/// Formats a number with about three significant digits.
fn number(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(0.0) => "0".to_owned(),
        Some(value) if value.abs() < 1.0 => format!("{value:.3}"),
        Some(value) if value.abs() < 10.0 => format!("{value:.2}"),
        Some(value) if value.abs() < 100.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(wall: f64) -> Usage {
        Usage {
            wall,
            cpu: wall / 2.0,
            peak_mib: 10.0,
        }
    }

    #[test]
    fn a_goal_is_checked_against_the_median_ratio_of_the_pairs() {
        let (ours, theirs) = ([1.0, 2.0, 3.0], [10.0, 4.0, 30.0]);
        let goal = |times, plus| Goal { times, plus };
        let row = |goal| Row::compared("a", "wall s", &ours, "tcpdump", &theirs, Some(goal));
        assert_eq!(row(Goal::times(0.1)).met, Some(true));
        assert_eq!(row(Goal::times(0.09)).met, Some(false));
        // The medians are 2 and 10.
        assert_eq!(row(goal(0.1, 1.0)).met, Some(true));
        assert_eq!(row(goal(0.1, 0.9)).met, Some(false));
    }

    #[test]
    fn a_goal_is_met_if_both_values_are_zero() {
        let row = Row::compared(
            "l",
            "lost",
            &[0.0],
            "dumpcap",
            &[0.0],
            Some(Goal::times(1.0)),
        );
        assert_eq!(row.met, Some(true));
    }

    #[test]
    fn the_table_has_all_measurements() {
        let rows = [
            Row::processes(
                "a",
                &[usage(0.25), usage(0.5)],
                "tshark, a fourth",
                &[usage(1.0), usage(1.0)],
                4.0,
                Some(Goal::times(0.05)),
            ),
            Row::without_peer("peak", "MiB", &[12.0], Some(Goal::at_most(16.0))),
        ];
        let expected = "\
case  quantity   ours  cpu s  peak MiB  peer              theirs  cpu s  peak MiB          ratio (spread)        goal  met
a     wall s    0.375  0.188      10.0  tshark, a fourth    4.00   2.00      10.0  0.094 (0.062 to 0.125)  <= 0.050 x   NO
peak  MiB        12.0                                                                                         <= 16.0  yes
";
        assert_eq!(Table(&rows).to_string(), expected);
    }
}
