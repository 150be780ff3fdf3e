//! Fetches a scrape and parses its text format, as far as needed here.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

/// How long the exporter may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The samples of a scrape.
pub(crate) struct Scrape {
    /// Values by name and labels, which are written as in the text.
    samples: BTreeMap<String, f64>,
    /// The names of the counters.
    counters: BTreeSet<String>,
}

impl Scrape {
    /// Scrapes the exporter on this port of the loopback address.
    pub(crate) fn fetch(port: u16) -> anyhow::Result<Self> {
        let response = response(port).context("cannot scrape the exporter")?;
        let Some((head, body)) = response.split_once("\r\n\r\n") else {
            bail!("the exporter answered without a body: {response:?}");
        };
        let status = head.lines().next().unwrap_or_default();
        if !status.ends_with(" 200 OK") {
            bail!("the exporter answered {status:?}");
        }
        Self::parse(body)
    }

    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut scrape = Self {
            samples: BTreeMap::new(),
            counters: BTreeSet::new(),
        };
        for line in text.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                scrape
                    .counters
                    .extend(family.strip_suffix(" counter").map(str::to_owned));
            } else if !line.starts_with('#') {
                let sample = line
                    .rsplit_once(' ')
                    .and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
                let (name, value) = sample.with_context(|| format!("not a sample: {line:?}"))?;
                if scrape.samples.insert(name, value).is_some() {
                    bail!("two samples with equal labels: {line:?}");
                }
            }
        }
        Ok(scrape)
    }

    /// Returns the value of the sample with this name and no labels, or 0 if there is none.
    pub(crate) fn value(&self, name: &str) -> f64 {
        self.samples.get(name).copied().unwrap_or_default()
    }

    /// Returns the sum of the samples of a family.
    pub(super) fn sum(&self, family: &str) -> f64 {
        let samples = self.samples.iter();
        let values = samples.filter(|(sample, _)| family_of(sample) == family);
        // Starting from 0 rather than with sum(), which starts from -0.
        values.fold(0.0, |sum, (_, value)| sum + value)
    }

    /// Returns all samples of all counters.
    pub(super) fn counters(&self) -> impl Iterator<Item = (&str, f64)> {
        let samples = self.samples.iter();
        let counters = samples.filter(|(sample, _)| self.counters.contains(family_of(sample)));
        counters.map(|(sample, value)| (sample.as_str(), *value))
    }
}

fn family_of(sample: &str) -> &str {
    sample.split('{').next().unwrap_or(sample)
}

/// Fetches the response with HTTP 1.0, so that the body is not sent in chunks and ends with the
/// connection.
fn response(port: u16) -> anyhow::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP tzsp_flows Flows exposed now.
# TYPE tzsp_flows gauge
tzsp_flows 2
# HELP tzsp_observed_packets_total Mirrored IPv4 packets.
# TYPE tzsp_observed_packets_total counter
tzsp_observed_packets_total{from=\"192.0.2.1\",protocol=\"tcp\"} 3
tzsp_observed_packets_total{from=\"192.0.2.2\",protocol=\"tcp\"} 4
";

    #[test]
    fn samples_are_found_by_name_and_summed_by_family() {
        let scrape = Scrape::parse(TEXT).expect("it is valid");
        assert_eq!(format!("{}", scrape.value("tzsp_flows")), "2");
        assert_eq!(
            format!("{}", scrape.sum("tzsp_observed_packets_total")),
            "7"
        );
        let counters: Vec<_> = scrape.counters().map(|(_, value)| value).collect();
        assert_eq!(counters, [3.0, 4.0]);
    }

    #[test]
    fn two_samples_with_equal_labels_are_an_error() {
        assert!(Scrape::parse("a 1\na 1\n").is_err());
        assert!(Scrape::parse("a one\n").is_err());
    }
}
