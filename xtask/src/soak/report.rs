//! The results of a run, and the checks that decide whether it has failed.

use std::fmt;
use std::time::Duration;

use super::ledger::{Ledger, Sample};

/// How much memory may grow after [`WARM`], in bytes: a tolerance for fragmentation in the allocator.
const BYTES_ALLOWED: f64 = 4.0 * MIB;
const MIB: f64 = 1_048_576.0;

/// The tolerance for the reported time without a capture, in seconds for each deletion of the
/// interface: the time to add an interface and to notice that it is gone.
const SECONDS_ALLOWED: f64 = 0.2;

/// The time after which all flows have been seen and all buffers have been allocated.
const WARM: Duration = Duration::from_mins(1);

/// How many times the capture was killed.
#[derive(Default)]
pub(super) struct Kills {
    tshark: u64,
    dumpcap: u64,
    /// Deletions of its interface.
    interface: u64,
    /// Attempts that found no process, because the exporter had not restarted the capture yet.
    missed: u64,
}

impl Kills {
    /// Returns the process to kill next: tshark and dumpcap alternately.
    pub(super) fn next_victim(&self) -> &'static str {
        if self.tshark > self.dumpcap {
            "dumpcap"
        } else {
            "tshark"
        }
    }

    /// Counts an attempt to kill the next victim.
    pub(super) fn count(&mut self, killed: bool) {
        let counter = match (killed, self.next_victim()) {
            (false, _) => &mut self.missed,
            (true, "tshark") => &mut self.tshark,
            (true, _) => &mut self.dumpcap,
        };
        *counter += 1;
    }

    /// Counts a deletion of the interface. Returns the number of deletions so far.
    pub(super) fn count_interface(&mut self) -> u64 {
        self.interface += 1;
        self.interface
    }

    fn total(&self) -> u64 {
        self.tshark + self.dumpcap + self.interface
    }
}

pub(super) fn progress(ledger: &Ledger, kills: &Kills, sent: u64) -> String {
    let Some(sample) = ledger.newest() else {
        return String::new();
    };
    format!(
        "{:5.0} s: {} kills, {sent} sent, {} received, {} dropped, {:.1} s lost, {:.1} MiB",
        sample.at.as_secs_f64(),
        kills.total(),
        sample.received,
        sample.dropped,
        sample.lost_seconds,
        sample.resident_bytes / MIB,
    )
}

pub(super) struct Report {
    /// The duration of the load.
    pub(super) duration: Duration,
    pub(super) kills: Kills,
    pub(super) sent: u64,
    /// The reported time without a capture at the end of the load.
    pub(super) lost_seconds: f64,
    /// At least one. The last one was taken after all datagrams had arrived.
    pub(super) samples: Vec<Sample>,
    pub(super) problems: Vec<String>,
}

impl Report {
    /// Returns the reasons why the run has failed.
    pub(super) fn failures(&self) -> Vec<String> {
        let mut failures = self.problems.clone();
        let (warm, end) = (self.warm().resident_bytes, self.end().resident_bytes);
        let growth = end - warm;
        if growth > BYTES_ALLOWED {
            failures.push(format!(
                "memory grew by {:.1} MiB, {:.0} %",
                growth / MIB,
                growth / warm * 100.0
            ));
        }
        let interface = self.kills.interface;
        let allowed = self.rate() * SECONDS_ALLOWED * interface as f64;
        if interface > 0 && self.unexplained().abs() > allowed {
            failures.push(format!(
                "{:.0} datagrams are unexplained, more than {allowed:.0}",
                self.unexplained()
            ));
        }
        failures
    }

    /// Returns the number of datagrams that were sent, but neither received, nor reported as dropped,
    /// nor sent during the reported time without a capture.
    fn unexplained(&self) -> f64 {
        let end = self.end();
        self.sent as f64 - end.received - end.dropped - self.expected_loss()
    }

    fn end(&self) -> &Sample {
        self.samples.last().expect("the run ends with a scrape")
    }

    /// Returns the first sample after [`WARM`]. If there is none except the last sample, returns the
    /// first of all.
    fn warm(&self) -> &Sample {
        let earlier = &self.samples[..self.samples.len() - 1];
        let warm = earlier.iter().find(|sample| sample.at >= WARM);
        warm.unwrap_or(&self.samples[0])
    }

    /// Returns the resident memory of all samples, sorted.
    fn resident_bytes(&self) -> Vec<f64> {
        let samples = self.samples.iter();
        let mut resident: Vec<_> = samples.map(|sample| sample.resident_bytes).collect();
        resident.sort_by(f64::total_cmp);
        resident
    }

    fn expected_loss(&self) -> f64 {
        self.lost_seconds * self.rate()
    }

    fn rate(&self) -> f64 {
        self.sent as f64 / self.duration.as_secs_f64()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kills {
            tshark,
            dumpcap,
            interface,
            missed,
        } = self.kills;
        let kills = self.kills.total();
        let end = self.end();
        let sent = self.sent as f64;
        let unexplained = self.unexplained();
        let resident = self.resident_bytes();
        let median = resident[resident.len() / 2];
        let maximum = resident[resident.len() - 1];
        let mut row = |name: &str, value: String| writeln!(f, "{name:22} {value}");

        row("duration", format!("{:.1} s", self.duration.as_secs_f64()))?;
        row(
            "kills",
            format!(
                "{kills}: tshark {tshark}, dumpcap {dumpcap}, interface {interface}; {missed} times \
                 no process was running"
            ),
        )?;
        row("captures started", end.iterations.to_string())?;
        row("sent", self.sent.to_string())?;
        row("received", end.received.to_string())?;
        row("dropped", end.dropped.to_string())?;
        row("lost", format!("{:.3} s", self.lost_seconds))?;
        row(
            "expected loss",
            format!("{:.0}, at {:.1}/s", self.expected_loss(), self.rate()),
        )?;
        row(
            "unexplained",
            format!(
                "{unexplained:.0}: {:.3} % of sent, {:.1} per kill",
                unexplained / sent * 100.0,
                unexplained / (kills.max(1) as f64)
            ),
        )?;
        row("memory, warm", mib(self.warm().resident_bytes))?;
        row("memory, median", mib(median))?;
        row("memory, maximum", mib(maximum))?;
        row("memory, end", mib(end.resident_bytes))
    }
}

fn mib(bytes: f64) -> String {
    format!("{:.2} MiB", bytes / MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(resident_mib: &[f64]) -> Report {
        let sample = |(resident, minute): (&f64, u64)| Sample {
            at: Duration::from_secs(minute * 60 + 10),
            resident_bytes: resident * MIB,
            received: 100_000.0,
            dropped: 0.0,
            lost_seconds: 10.5,
            iterations: 2.0,
        };
        Report {
            duration: Duration::from_mins(1),
            kills: Kills {
                tshark: 1,
                dumpcap: 1,
                interface: 0,
                missed: 0,
            },
            sent: 120_000,
            lost_seconds: 10.0,
            samples: resident_mib.iter().zip(0..).map(sample).collect(),
            problems: Vec::new(),
        }
    }

    #[track_caller]
    fn check(resident_mib: &[f64], expected: &[&str]) {
        assert_eq!(report(resident_mib).failures(), expected);
    }

    #[test]
    fn memory_growth_after_the_first_minute_is_a_failure() {
        check(&[10.0], &[]);
        check(&[10.0, 14.0], &[]);
        check(&[10.0, 14.1], &["memory grew by 4.1 MiB, 41 %"]);
        check(&[5.0, 10.0, 15.0, 10.1], &[]);
        check(&[30.0, 30.0, 34.1], &["memory grew by 4.1 MiB, 14 %"]);
    }

    #[test]
    fn datagrams_lost_outside_the_reported_time_are_unexplained() {
        let text = report(&[10.0]).to_string();
        assert!(
            text.contains("expected loss          20000, at 2000.0/s\n"),
            "{text}"
        );
        assert!(
            text.contains("unexplained            0: 0.000 % of sent, 0.0 per kill\n"),
            "{text}"
        );
    }

    #[test]
    fn each_deletion_of_the_interface_allows_a_fifth_of_a_second() {
        let mut report = report(&[10.0]);
        report.kills.interface = 5;
        report.lost_seconds = 9.1;
        assert_eq!(report.failures(), [""; 0]);
        report.lost_seconds = 8.9;
        assert_eq!(
            report.failures(),
            ["2200 datagrams are unexplained, more than 2000"]
        );
    }

    #[test]
    fn tshark_and_dumpcap_are_killed_alternately() {
        let mut kills = Kills::default();
        let mut victims = Vec::new();
        for killed in [true, false, true, true] {
            victims.push(kills.next_victim());
            kills.count(killed);
        }
        assert_eq!(victims, ["tshark", "dumpcap", "dumpcap", "tshark"]);
        assert_eq!((kills.total(), kills.missed), (3, 1));
    }
}
