use std::collections::HashMap;
use std::time::Duration;

use super::scrape::Scrape;

/// Complaints that are kept: more of them say nothing new.
const COMPLAINTS_KEPT: usize = 10;

/// What the scrapes said, and what was wrong with it.
#[derive(Default)]
pub(super) struct Ledger {
    samples: Vec<Sample>,
    /// The last value of each counter's sample.
    counters: HashMap<String, f64>,
    complaints: Vec<String>,
}

/// One scrape in a few numbers.
pub(super) struct Sample {
    /// Since the load began.
    pub(super) at: Duration,
    pub(super) resident_bytes: f64,
    pub(super) received: f64,
    pub(super) dropped: f64,
    pub(super) lost_seconds: f64,
    pub(super) iterations: f64,
}

impl Ledger {
    pub(super) fn enter(&mut self, at: Duration, scrape: &Scrape) {
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

    pub(super) fn complaints(&self) -> &[String] {
        &self.complaints
    }

    pub(super) fn into_samples(self) -> Vec<Sample> {
        self.samples
    }

    fn check_counters(&mut self, at: Duration, scrape: &Scrape) {
        for (sample, value) in scrape.counters() {
            let before = self.counters.insert(sample.to_owned(), value);
            if let Some(before) = before.filter(|before| value < *before) {
                self.complain(at, &format!("{sample} went back from {before} to {value}"));
            }
        }
    }

    fn check_accounting(&mut self, at: Duration, scrape: &Scrape) {
        let received = scrape.value("tzsp_frames_received_total");
        let counted = scrape.sum("tzsp_observed_packets_total");
        let skipped = scrape.sum("tzsp_frames_skipped_total");
        if (received - counted - skipped).abs() > 0.5 {
            self.complain(
                at,
                &format!("{received} frames received, {counted} counted, {skipped} skipped"),
            );
        }
    }

    fn complain(&mut self, at: Duration, what: &str) {
        if self.complaints.len() < COMPLAINTS_KEPT {
            self.complaints
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
            ledger.enter(Duration::from_secs(at), &scrape);
        }
        assert_eq!(ledger.complaints(), expected);
    }

    const TWO: &str = "tzsp_frames_received_total 2\ntzsp_observed_packets_total{to=\"a\"} 2\n";
    const THREE: &str = "tzsp_frames_received_total 3\ntzsp_observed_packets_total{to=\"a\"} 2\n\
                         tzsp_frames_skipped_total{reason=\"not_ip\"} 1\n";

    #[test]
    fn counters_go_up_only() {
        check(&[TWO, TWO, THREE], &[]);
        check(
            &[TWO, THREE, TWO],
            &["after 2 s: tzsp_frames_received_total went back from 3 to 2"],
        );
    }

    #[test]
    fn every_frame_is_counted_or_skipped() {
        check(
            &["tzsp_frames_received_total 2\ntzsp_observed_packets_total{to=\"a\"} 1\n"],
            &["after 0 s: 2 frames received, 1 counted, 0 skipped"],
        );
    }
}
