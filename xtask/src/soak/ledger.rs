//! Records scrapes and checks them against each other.

use std::collections::HashMap;
use std::time::Duration;

use super::scrape::Scrape;

/// The maximum number of problems that are reported. One bug can cause a problem in every scrape.
const MAX_PROBLEMS: usize = 10;

/// The recorded scrapes, and the problems that they have shown.
#[derive(Default)]
pub(super) struct Ledger {
    samples: Vec<Sample>,
    /// The last value of each counter's sample.
    counters: HashMap<String, f64>,
    problems: Vec<String>,
}

/// The values of one scrape.
pub(super) struct Sample {
    /// The time since the load began.
    pub(super) at: Duration,
    pub(super) resident_bytes: f64,
    pub(super) received: f64,
    pub(super) dropped: f64,
    pub(super) lost_seconds: f64,
    pub(super) iterations: f64,
}

impl Ledger {
    pub(super) fn record(&mut self, at: Duration, scrape: &Scrape) {
        self.check_counters(at, scrape);
        self.check_accounting(at, scrape);
        self.samples.push(Sample {
            at,
            resident_bytes: scrape.value("process_resident_memory_bytes"),
            received: scrape.value("tzsp_frames_received_total"),
            dropped: scrape.value("tzsp_capture_dropped_total"),
            lost_seconds: scrape.value("tzsp_data_lost_between_iterations_seconds_total"),
            iterations: scrape.value("tzsp_capture_iterations_total"),
        });
    }

    pub(super) fn newest(&self) -> Option<&Sample> {
        self.samples.last()
    }

    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }

    pub(super) fn into_samples(self) -> Vec<Sample> {
        self.samples
    }

    fn check_counters(&mut self, at: Duration, scrape: &Scrape) {
        for (sample, value) in scrape.counters() {
            let before = self.counters.insert(sample.to_owned(), value);
            if let Some(before) = before.filter(|before| value < *before) {
                self.report(at, &format!("{sample} went back from {before} to {value}"));
            }
        }
    }

    fn check_accounting(&mut self, at: Duration, scrape: &Scrape) {
        let received = scrape.value("tzsp_frames_received_total");
        let counted = scrape.sum("tzsp_observed_packets_total");
        let skipped = scrape.sum("tzsp_frames_skipped_total");
        if (received - counted - skipped).abs() > 0.5 {
            self.report(
                at,
                &format!("{received} frames received, {counted} counted, {skipped} skipped"),
            );
        }
    }

    fn report(&mut self, at: Duration, what: &str) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems
                .push(format!("after {:.0} s: {what}", at.as_secs_f64()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(scrapes: &[&str], expected: &[&str]) {
        let mut ledger = Ledger::default();
        for (scrape, at) in scrapes.iter().zip(0..) {
            let text = format!("# TYPE tzsp_frames_received_total counter\n{scrape}");
            let scrape = Scrape::parse(&text).expect("it is valid");
            ledger.record(Duration::from_secs(at), &scrape);
        }
        assert_eq!(ledger.problems(), expected);
    }

    const TWO: &str = "tzsp_frames_received_total 2\ntzsp_observed_packets_total{to=\"a\"} 2\n";
    const THREE: &str = "tzsp_frames_received_total 3\ntzsp_observed_packets_total{to=\"a\"} 2\n\
                         tzsp_frames_skipped_total{reason=\"not_ip\"} 1\n";

    #[test]
    fn a_counter_that_decreases_is_a_problem() {
        check(&[TWO, TWO, THREE], &[]);
        check(
            &[TWO, THREE, TWO],
            &["after 2 s: tzsp_frames_received_total went back from 3 to 2"],
        );
    }

    #[test]
    fn a_frame_that_is_neither_counted_nor_skipped_is_a_problem() {
        check(
            &["tzsp_frames_received_total 2\ntzsp_observed_packets_total{to=\"a\"} 1\n"],
            &["after 0 s: 2 frames received, 1 counted, 0 skipped"],
        );
    }
}
