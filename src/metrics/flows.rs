//! The flow and traffic families. They may have a million samples, so they are written as a stream
//! instead of being collected by the prometheus crate.

use std::io::{self, Write};

use etherparse::IpNumber;

use super::catalog::{OBSERVED_BYTES, OBSERVED_PACKETS, TRAFFIC_BYTES, TRAFFIC_PACKETS};
use super::format::Encoding;
use super::labels::{TRAFFIC, Value};
use super::names;
use super::series::{LabelValues, Sink, Source, ValueWriter};
use super::stream;
use super::word::Word;
use crate::flow::{
    Address, Classes, Flow, Label, OTHER, OverflowKey, ProtocolName, Shape, Snapshot, Sum,
    TrafficKey,
};
use crate::names::NameTable;

/// Writes the four families. Samples are sorted by their label values, in the order of the labels:
/// IPv4 flows first, then IPv6 flows, then `other`.
pub(super) fn write(
    out: &mut impl Write,
    encoding: Encoding<'_>,
    mut snapshot: Snapshot,
    names: Option<&NameTable>,
) -> io::Result<()> {
    snapshot.sort_by_key(encoding.threads);
    // `None` sorts before `Some`, but the sum without a key comes last.
    snapshot
        .overflow
        .sort_unstable_by_key(|sum| (sum.key.is_none(), sum.key));
    snapshot
        .traffic
        .sort_unstable_by_key(|sum| (sum.key.is_none(), sum.key));

    if let Some(names) = names {
        names::write(out, encoding, &snapshot, names)?;
    }
    let words = ValueWords::of(&snapshot.shape.classes);
    let no_names = NameTable::default();
    let values = |labels| FlowValues {
        shape: &snapshot.shape,
        labels,
        words: &words,
        names: names.unwrap_or(&no_names),
    };
    let flows = Flows {
        snapshot: &snapshot,
        values: values(snapshot.shape.labels.iter().collect()),
    };
    let traffic = Traffic {
        snapshot: &snapshot,
        values: values(TRAFFIC.into()),
    };
    stream::write(
        out,
        encoding,
        &flows,
        &[
            (OBSERVED_BYTES, |counters| counters.bytes),
            (OBSERVED_PACKETS, |counters| counters.packets),
        ],
    )?;
    stream::write(
        out,
        encoding,
        &traffic,
        &[
            (TRAFFIC_BYTES, |counters| counters.bytes),
            (TRAFFIC_PACKETS, |counters| counters.packets),
        ],
    )
}

/// The flows, and the sums of those beyond the limit.
struct Flows<'a> {
    snapshot: &'a Snapshot,
    values: FlowValues<'a>,
}

impl Source for Flows<'_> {
    fn labels(&self) -> Vec<&'static str> {
        self.values.label_names()
    }

    fn each(&self, sink: &mut impl Sink) -> io::Result<()> {
        sink.push_all(&self.snapshot.narrow, &self.values)?;
        sink.push_all(&self.snapshot.wide, &self.values)?;
        sink.push_all(&self.snapshot.overflow, &self.values)
    }
}

/// The sums of all packets ever counted.
struct Traffic<'a> {
    snapshot: &'a Snapshot,
    values: FlowValues<'a>,
}

impl Source for Traffic<'_> {
    fn labels(&self) -> Vec<&'static str> {
        self.values.label_names()
    }

    fn each(&self, sink: &mut impl Sink) -> io::Result<()> {
        sink.push_all(&self.snapshot.traffic, &self.values)
    }
}

/// Label values of flows and of their sums.
struct FlowValues<'a> {
    shape: &'a Shape,
    labels: Vec<Label>,
    words: &'a ValueWords,
    names: &'a NameTable,
}

impl FlowValues<'_> {
    fn label_names(&self) -> Vec<&'static str> {
        self.labels.iter().map(|label| label.name()).collect()
    }

    #[inline]
    fn write(&self, value: Value, out: &mut impl ValueWriter) {
        match value {
            Value::Address(address, prefix) => names::push_address(out, address, prefix),
            Value::Name(address, prefix) => names::push_name(out, address, prefix, self.names),
            Value::Class(class) => out.push(&self.words.classes[class.number()]),
            Value::Protocol(IpNumber(protocol)) => {
                out.push(&self.words.protocols[usize::from(protocol)]);
            }
            Value::Number(number) => out.push_number(number.into()),
            Value::Service(service) => {
                if let Some(name) = self.shape.services.name(service) {
                    out.push_text(name);
                }
            }
            Value::Other => out.push(&self.words.other),
            Value::Nothing => {}
        }
    }
}

impl<A: Address> LabelValues<Flow<A>> for FlowValues<'_> {
    #[inline]
    fn write(&self, flow: &Flow<A>, label: usize, out: &mut impl ValueWriter) {
        let value = Value::of_flow(self.shape, &flow.key, self.labels[label]);
        FlowValues::write(self, value, out);
    }
}

impl LabelValues<Sum<OverflowKey>> for FlowValues<'_> {
    fn write(&self, sum: &Sum<OverflowKey>, label: usize, out: &mut impl ValueWriter) {
        let value = Value::of_overflow(self.shape, sum.key, self.labels[label]);
        FlowValues::write(self, value, out);
    }
}

impl LabelValues<Sum<TrafficKey>> for FlowValues<'_> {
    fn write(&self, sum: &Sum<TrafficKey>, label: usize, out: &mut impl ValueWriter) {
        let value = Value::of_traffic(self.shape, sum.key, self.labels[label]);
        FlowValues::write(self, value, out);
    }
}

/// Label values that are words, ready to be copied into lines.
struct ValueWords {
    /// Indexed by the number of the class.
    classes: Vec<Word>,
    /// Indexed by the number of the protocol.
    protocols: Vec<Word>,
    other: Word,
}

impl ValueWords {
    fn of(classes: &Classes) -> Self {
        let protocol = |number| Word::new(ProtocolName::of(IpNumber(number)));
        Self {
            classes: classes.names().map(Word::new).collect(),
            protocols: (0..=u8::MAX).map(protocol).collect(),
            other: Word::new(OTHER),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::super::catalog::OBSERVED_BYTES;
    use super::super::dialect::Dialect;
    use super::super::labels;
    use super::super::messages::{Messages, Sizes};
    use super::super::text_series::TextSeries;
    use super::*;
    use crate::flow::{Counters, Key, Service, Services, Start, WHOLE};
    use crate::names::Name;

    fn flow<A: Address>(key: Key<A>) -> Flow<A> {
        Flow {
            key,
            counters: Counters {
                bytes: u64::MAX,
                packets: 0,
            },
            start: Start::default(),
        }
    }

    /// Compares the lines of the first family with those that `labels` renders, and the measured
    /// size of its messages with their real one.
    #[track_caller]
    fn check<A: Address + Sync>(shape: &Shape, names: &NameTable, keys: &[Key<A>]) {
        let words = ValueWords::of(&shape.classes);
        let values = FlowValues {
            shape,
            labels: shape.labels.iter().collect(),
            words: &words,
            names,
        };
        let label_names = values.label_names();
        let (mut text, mut messages) = (Vec::new(), Vec::new());
        let count = |counters: &Counters| counters.bytes;
        let family = OBSERVED_BYTES;
        let flows: Vec<_> = keys.iter().map(|key| flow(*key)).collect();
        TextSeries::begin(
            &mut text,
            Dialect::Prometheus,
            family,
            &label_names,
            None,
            count,
        )
        .and_then(|mut text| text.push_all(&flows, &values))
        .expect(INFALLIBLE);
        let mut sizes = Sizes::new(&label_names, None);
        sizes.push_all(&flows, &values).expect(INFALLIBLE);
        let mut records =
            Messages::begin(&mut messages, family, &label_names, None, count, 0).expect(INFALLIBLE);
        records.push_all(&flows, &values).expect(INFALLIBLE);
        records.finish().expect(INFALLIBLE);
        let mut expected = String::new();
        Dialect::Prometheus.push_header(&mut expected, family);
        for key in keys {
            expected.push_str(family.name);
            labels::push_flow(&mut expected, shape, names, key);
            expected.extend([" ", &u64::MAX.to_string(), "\n"]);
        }
        assert_eq!(String::from_utf8(text).expect("text"), expected);
        // The header has one byte for the length, which is that of the rest of the header.
        let header = 1 + usize::from(messages[0]);
        assert_eq!(sizes.total(), (messages.len() - header) as u64);
    }

    const INFALLIBLE: &str = "writing to a Vec does not fail";

    /// Returns a key for each protocol, all with the same addresses and numbers.
    fn keys<A: Address>(shape: &Shape, address: A, prefix: u8, number: Option<u16>) -> Vec<Key<A>> {
        let class = shape.classes.of(address.into());
        let key = |protocol| Key {
            source: address,
            source_prefix: prefix,
            source_class: class,
            destination: address,
            destination_prefix: prefix,
            destination_class: class,
            protocol: IpNumber(protocol),
            listen_port: u16::MAX,
            sensor: address,
            from_port: number,
            to_port: number,
            vlan: number,
            dscp: u8::MAX,
            service: Service::default(),
        };
        (0..=u8::MAX).map(key).collect()
    }

    #[test]
    fn the_longest_and_the_shortest_lines_fit() {
        let name = "n".repeat(64);
        let networks = [format!("{name}=::/0"), format!("{name}=0.0.0.0/0")];
        let networks = networks.map(|network| network.parse().expect("a network"));
        for plain in [false, true] {
            let shape = Shape {
                labels: Label::ALL.into_iter().collect(),
                classes: Classes::new(&networks, &[]).expect("the networks do not overlap"),
                plain,
                services: Services::with_file(&format!("{name} 1000/tcp")).expect("a service"),
                ..Shape::default()
            };
            let ipv6: IpAddr = "eeee:eeee:eeee:eeee:eeee:eeee:eeee:eeee"
                .parse()
                .expect("an address");
            let none = NameTable::default();
            check(&shape, &none, &keys(&shape, ipv6, 127, Some(u16::MAX)));
            let ipv4 = keys(&shape, Ipv4Addr::BROADCAST, 31, Some(1000));
            check(&shape, &none, &ipv4);
            let short = keys(&shape, Ipv4Addr::UNSPECIFIED, WHOLE, None);
            check(&shape, &none, &short);
            for name in [[b'"'; 253], [b'n'; 253]] {
                for length in [1, 100, 117, 118, 127, 128, 253] {
                    let name = Name::new(&name[..length]).expect("a name");
                    let named = NameTable::of([(ipv6, name)]);
                    check(&shape, &named, &keys(&shape, ipv6, WHOLE, Some(u16::MAX)));
                }
            }
        }
    }
}
