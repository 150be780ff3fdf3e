//! The flow and traffic families. They may have a million samples, so they are written as a stream
//! instead of being collected by the prometheus crate.

use std::io::{self, Write};

use etherparse::IpNumber;

use super::catalog::{OBSERVED_BYTES, OBSERVED_PACKETS, TRAFFIC_BYTES, TRAFFIC_PACKETS};
use super::format::Encoding;
use super::labels::{TRAFFIC, Value};
use super::stream::{self, LabelValues, Sink, Source, ValueWriter};
use super::text::Word;
use crate::flow::{Classes, Label, OTHER, ProtocolName, Snapshot, WHOLE};

/// Writes the four families. Samples are sorted by their label values, in the order of the labels:
/// IPv4 flows first, then IPv6 flows, then `other`.
pub(super) fn write(
    out: &mut impl Write,
    encoding: Encoding<'_>,
    mut snapshot: Snapshot,
) -> io::Result<()> {
    snapshot.sort_by_key();
    // `None` sorts before `Some`, but the sum without a key comes last.
    snapshot
        .overflow
        .sort_unstable_by_key(|sum| (sum.key.is_none(), sum.key));
    snapshot
        .traffic
        .sort_unstable_by_key(|sum| (sum.key.is_none(), sum.key));

    let words = ValueWords::of(&snapshot.shape.classes);
    let flows = Flows {
        labels: snapshot.shape.labels.iter().collect(),
        snapshot: &snapshot,
        words: &words,
    };
    let traffic = Traffic {
        snapshot: &snapshot,
        words: &words,
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
    labels: Vec<Label>,
    words: &'a ValueWords,
}

impl Source for Flows<'_> {
    fn labels(&self) -> Vec<&'static str> {
        self.labels.iter().map(|label| label.name()).collect()
    }

    fn each(&self, sink: &mut impl Sink) -> io::Result<()> {
        let shape = &*self.snapshot.shape;
        for flow in &self.snapshot.narrow {
            let value = |label| Value::of_flow(shape, &flow.key, label);
            sink.push(&self.values(value), &flow.counters, flow.start)?;
        }
        for flow in &self.snapshot.wide {
            let value = |label| Value::of_flow(shape, &flow.key, label);
            sink.push(&self.values(value), &flow.counters, flow.start)?;
        }
        for sum in &self.snapshot.overflow {
            let value = |label| Value::of_overflow(shape, sum.key, label);
            sink.push(&self.values(value), &sum.counters, sum.start)?;
        }
        Ok(())
    }
}

impl Flows<'_> {
    #[inline]
    fn values<F: Fn(Label) -> Value>(&self, value: F) -> Values<'_, F> {
        Values {
            labels: &self.labels,
            words: self.words,
            value,
        }
    }
}

/// The sums of all packets ever counted.
struct Traffic<'a> {
    snapshot: &'a Snapshot,
    words: &'a ValueWords,
}

impl Source for Traffic<'_> {
    fn labels(&self) -> Vec<&'static str> {
        TRAFFIC.map(Label::name).into()
    }

    fn each(&self, sink: &mut impl Sink) -> io::Result<()> {
        let shape = &*self.snapshot.shape;
        for sum in &self.snapshot.traffic {
            let values = Values {
                labels: &TRAFFIC,
                words: self.words,
                value: |label| Value::of_traffic(shape, sum.key, label),
            };
            sink.push(&values, &sum.counters, sum.start)?;
        }
        Ok(())
    }
}

/// The label values of a series.
struct Values<'a, F> {
    labels: &'a [Label],
    words: &'a ValueWords,
    value: F,
}

impl<F: Fn(Label) -> Value> LabelValues for Values<'_, F> {
    #[inline]
    fn write(&self, label: usize, out: &mut impl ValueWriter) {
        match (self.value)(self.labels[label]) {
            Value::Address(address, prefix) => {
                out.push_address(address);
                if prefix != WHOLE {
                    out.push_slash();
                    out.push_number(prefix.into());
                }
            }
            Value::Class(class) => out.push(&self.words.classes[class.number()]),
            Value::Protocol(IpNumber(protocol)) => {
                out.push(&self.words.protocols[usize::from(protocol)]);
            }
            Value::Number(number) => out.push_number(number.into()),
            Value::Other => out.push(&self.words.other),
            Value::Nothing => {}
        }
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
    use super::super::lines::Lines;
    use super::super::messages::{Messages, Sizes};
    use super::*;
    use crate::flow::{Address, Counters, Key, Shape, Start};

    const FULL: Counters = Counters {
        bytes: u64::MAX,
        packets: 0,
    };

    /// Compares the lines of the first family with those that `labels` renders, and the measured
    /// size of its messages with their real one.
    #[track_caller]
    fn check<A: Address>(shape: &Shape, keys: &[Key<A>]) {
        let words = ValueWords::of(&shape.classes);
        let shown: Vec<_> = shape.labels.iter().collect();
        let names: Vec<_> = shown.iter().map(|label| label.name()).collect();
        let (mut text, mut messages) = (Vec::new(), Vec::new());
        let count = |counters: &Counters| counters.bytes;
        let family = OBSERVED_BYTES;
        let mut lines = Lines::begin(&mut text, Dialect::Prometheus, family, &names, None, count)
            .expect(INFALLIBLE);
        let mut sizes = Sizes::new(&names, None);
        let mut records =
            Messages::begin(&mut messages, family, &names, None, count, 0).expect(INFALLIBLE);
        let mut expected = String::new();
        Dialect::Prometheus.push_header(&mut expected, family);
        for key in keys {
            let values = Values {
                labels: &shown,
                words: &words,
                value: |label| Value::of_flow(shape, key, label),
            };
            let start = Start::default();
            lines.push(&values, &FULL, start).expect(INFALLIBLE);
            sizes.push(&values, &FULL, start).expect(INFALLIBLE);
            records.push(&values, &FULL, start).expect(INFALLIBLE);
            expected.push_str(family.name);
            labels::push_flow(&mut expected, shape, key);
            expected.extend([" ", &u64::MAX.to_string(), "\n"]);
        }
        lines.finish().expect(INFALLIBLE);
        records.finish().expect(INFALLIBLE);
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
                ..Shape::default()
            };
            let ipv6: IpAddr = "eeee:eeee:eeee:eeee:eeee:eeee:eeee:eeee"
                .parse()
                .expect("an address");
            check(&shape, &keys(&shape, ipv6, 127, Some(u16::MAX)));
            check(&shape, &keys(&shape, Ipv4Addr::BROADCAST, 31, Some(1000)));
            check(&shape, &keys(&shape, Ipv4Addr::UNSPECIFIED, WHOLE, None));
        }
    }
}
