//! A parser of the text exposition format, as far as the tests need it.

use std::collections::BTreeMap;

/// Samples by name and labels, spelled as in the text.
#[derive(Debug, PartialEq)]
pub(crate) struct Scrape {
    pub(crate) text: String,
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    /// Panics if a line is not a sample, or if two samples have the same name and labels.
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').expect(line);
            let value = value.parse().expect(line);
            let twice = samples.insert(name.to_owned(), value);
            assert_eq!(twice, None, "two samples {name}");
        }
        Self {
            text: text.to_owned(),
            samples,
        }
    }

    /// The sample with this name and these labels.
    #[track_caller]
    pub(crate) fn value(&self, sample: &str) -> f64 {
        *self
            .samples
            .get(sample)
            .unwrap_or_else(|| panic!("no sample {sample} in:\n{}", self.text))
    }

    /// The number of samples.
    pub(crate) fn len(&self) -> usize {
        self.samples.len()
    }

    /// The sum of a family.
    pub(crate) fn sum(&self, family: &str) -> f64 {
        // Starting from 0 rather than with sum(), which starts from -0.
        self.family(family).fold(0.0, |sum, (_, value)| sum + value)
    }

    /// The samples of a family, by their labels.
    pub(crate) fn family<'a>(&'a self, family: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.samples.iter().filter_map(move |(name, value)| {
            let labels = name.strip_prefix(family)?;
            (labels.is_empty() || labels.starts_with('{')).then_some((labels, *value))
        })
    }

    /// Checks that frames received = packets of all flows + frames skipped. This holds only while
    /// no flow has been removed or is held back.
    #[track_caller]
    pub(crate) fn assert_every_frame_is_accounted_for(&self) {
        assert_eq!(
            self.value("tzsp_frames_received_total"),
            self.sum("tzsp_observed_packets_total") + self.sum("tzsp_frames_skipped_total"),
            "{}",
            self.text
        );
        self.assert_traffic_is_all_there_is();
    }

    /// Checks that hosts sent what came from their types, and received what went to these. `types`
    /// are those of `--hosts`. This holds only while no host is idle, forgotten or held.
    #[track_caller]
    pub(crate) fn assert_hosts_account_for_traffic(&self, types: &[&str]) {
        for unit in ["bytes", "packets"] {
            for (direction, label) in [("sent", "from_type"), ("received", "to_type")] {
                let counted = self.sum_where(
                    &format!("tzsp_host_{unit}_total"),
                    &[format!("direction=\"{direction}\"")],
                );
                let types = types.iter().map(|name| format!("{label}=\"{name}\""));
                let traffic = format!("tzsp_traffic_{unit}_total");
                let expected = self.sum_where(&traffic, &types.collect::<Vec<_>>());
                assert_eq!(counted, expected, "{unit} {direction} in:\n{}", self.text);
            }
        }
    }

    /// The sum of the samples of a family that have one of these labels.
    fn sum_where(&self, family: &str, labels: &[String]) -> f64 {
        self.family(family)
            .filter(|(all, _)| {
                let all = all.trim_matches(['{', '}']);
                all.split(',')
                    .any(|label| labels.iter().any(|one| one == label))
            })
            .fold(0.0, |sum, (_, value)| sum + value)
    }

    /// Checks that frames received = packets of the traffic totals + frames skipped. This holds
    /// also after flows have been removed.
    #[track_caller]
    pub(crate) fn assert_traffic_is_all_there_is(&self) {
        assert_eq!(
            self.value("tzsp_frames_received_total"),
            self.sum("tzsp_traffic_packets_total") + self.sum("tzsp_frames_skipped_total"),
            "{}",
            self.text
        );
    }
}
