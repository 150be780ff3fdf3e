//! The families of hosts, written as a stream like those of flows.

use std::io::{self, Write};

use super::catalog::{HOST_BYTES, HOST_LABELS, HOST_PACKETS};
use super::format::Encoding;
use super::series::{LabelValues, LabelWords, Sink, Source, ValueWriter};
use super::stream;
use crate::flow::{Direction, HostTraffic, OTHER, Snapshot, WHOLE};

/// Writes both families, unless hosts are not counted. Samples are sorted by address, direction and
/// the peer's class; `other` comes last.
pub(super) fn write(
    out: &mut impl Write,
    encoding: Encoding<'_>,
    snapshot: &mut Snapshot,
) -> io::Result<()> {
    if snapshot.occupancy.host_limit == 0 {
        return Ok(());
    }
    snapshot.sort_hosts();
    let hosts = Hosts(snapshot);
    stream::write(
        out,
        encoding,
        &hosts,
        &[
            (HOST_BYTES, |counters| counters.bytes),
            (HOST_PACKETS, |counters| counters.packets),
        ],
    )
}

struct Hosts<'a>(&'a Snapshot);

impl Source for Hosts<'_> {
    fn labels(&self) -> Vec<LabelWords<'_>> {
        let words = [
            vec![OTHER],
            Direction::ALL.map(Direction::label).into(),
            self.0.shape.classes.names().collect(),
        ];
        let labels = HOST_LABELS.iter().zip(words);
        labels
            .map(|(name, words)| LabelWords { name, words })
            .collect()
    }

    fn each(&self, sink: &mut impl Sink) -> io::Result<()> {
        sink.push_all(&self.0.hosts, self)
    }
}

impl LabelValues<HostTraffic> for Hosts<'_> {
    fn write<W: ValueWriter>(&self, host: &HostTraffic, label: usize, out: W) -> W::Output {
        let key = &host.key;
        match (label, key.host) {
            (0, Some(address)) => out.address(address.into(), WHOLE),
            (0, None) => out.word(0),
            (1, _) => out.word(key.direction as usize),
            _ => out.word(key.peer_class.number()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::super::format::Format;
    use super::*;
    use crate::flow::{FlowLimits, FlowTable, Shape};
    use crate::wire::Observation;

    const LIMITS: FlowLimits = FlowLimits {
        flows: 10,
        idle_flows: 0,
        idle_timeout: Duration::ZERO,
        hold: Duration::ZERO,
        hide_unseen: false,
        hosts: 3,
    };

    /// Writes the families after packets between these addresses, each of one byte more than the
    /// one before it.
    fn written(limits: FlowLimits, format: Format, packets: &[(&str, &str)]) -> String {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address").into();
        let mut table = FlowTable::new(Shape::default(), limits);
        let mut batch = table.packets(10);
        for (bytes, (source, destination)) in (1..).zip(packets) {
            let seen = Observation {
                source: address(source),
                destination: address(destination),
                bytes,
                ..Observation::default()
            };
            batch.push(Duration::ZERO, &seen);
        }
        table.record(&mut batch);
        let mut out = Vec::new();
        let mut snapshot = table.scrape(Duration::ZERO);
        let encoding = Encoding {
            format,
            clock: None,
            threads: 1,
        };
        write(&mut out, encoding, &mut snapshot).expect("writing to a Vec does not fail");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn samples_are_sorted_with_other_last() {
        let text = written(
            LIMITS,
            Format::Text,
            &[
                ("fd00::1", "2620::1"),
                ("10.0.0.10", "8.8.8.8"),
                ("8.8.8.8", "10.0.0.9"),
                ("10.0.0.9", "10.0.0.10"),
                ("10.0.0.11", "224.0.0.1"),
                ("10.0.0.12", "10.0.0.9"),
            ],
        );
        let expected = r#"# HELP tzsp_host_bytes_total Bytes that each host sent and received, by the type of the other side; beyond --max-hosts of `other`.
# TYPE tzsp_host_bytes_total counter
tzsp_host_bytes_total{host="10.0.0.9",direction="sent",peer_type="private"} 4
tzsp_host_bytes_total{host="10.0.0.9",direction="received",peer_type="private"} 6
tzsp_host_bytes_total{host="10.0.0.9",direction="received",peer_type="public"} 3
tzsp_host_bytes_total{host="10.0.0.10",direction="sent",peer_type="public"} 2
tzsp_host_bytes_total{host="10.0.0.10",direction="received",peer_type="private"} 4
tzsp_host_bytes_total{host="fd00::1",direction="sent",peer_type="public"} 1
tzsp_host_bytes_total{host="other",direction="sent",peer_type="private"} 6
tzsp_host_bytes_total{host="other",direction="sent",peer_type="multicast"} 5
# HELP tzsp_host_packets_total Packets that each host sent and received, likewise.
# TYPE tzsp_host_packets_total counter
tzsp_host_packets_total{host="10.0.0.9",direction="sent",peer_type="private"} 1
tzsp_host_packets_total{host="10.0.0.9",direction="received",peer_type="private"} 1
tzsp_host_packets_total{host="10.0.0.9",direction="received",peer_type="public"} 1
tzsp_host_packets_total{host="10.0.0.10",direction="sent",peer_type="public"} 1
tzsp_host_packets_total{host="10.0.0.10",direction="received",peer_type="private"} 1
tzsp_host_packets_total{host="fd00::1",direction="sent",peer_type="public"} 1
tzsp_host_packets_total{host="other",direction="sent",peer_type="private"} 1
tzsp_host_packets_total{host="other",direction="sent",peer_type="multicast"} 1
"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn in_openmetrics_the_family_has_no_suffix() {
        let text = written(LIMITS, Format::OpenMetrics, &[("10.0.0.1", "8.8.8.8")]);
        assert!(text.contains("# TYPE tzsp_host_bytes counter\ntzsp_host_bytes_total{host="));
    }

    #[test]
    fn with_a_limit_of_0_there_are_no_families() {
        let limits = FlowLimits { hosts: 0, ..LIMITS };
        let packets = [("10.0.0.1", "8.8.8.8")];
        assert_eq!(written(limits, Format::Text, &packets), "");
    }
}
