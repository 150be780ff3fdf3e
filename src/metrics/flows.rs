//! The flow and traffic families. They may have a million samples, so they are written as a stream
//! instead of being collected by the prometheus crate.

#![expect(
    clippy::inline_always,
    reason = "called for each label of each series, with a writer for each format: the compiler would \
              inline none of them"
)]

use std::io::{self, Write};

use etherparse::IpNumber;

use super::catalog::{OBSERVED_BYTES, OBSERVED_PACKETS, TRAFFIC_BYTES, TRAFFIC_PACKETS};
use super::format::Encoding;
use super::labels::{TRAFFIC, Value};
use super::names;
use super::series::{LabelValues, LabelWords, Sink, Source, ValueWriter};
use super::stream;
use crate::flow::{
    Address, Flow, Label, OTHER, OverflowKey, ProtocolName, Shape, Snapshot, Sum, TrafficKey,
};
use crate::geo::Operator;
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
    let no_names = NameTable::default();
    let values = |labels| FlowValues {
        shape: &snapshot.shape,
        labels,
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
    fn labels(&self) -> Vec<LabelWords<'_>> {
        self.values.label_words()
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
    fn labels(&self) -> Vec<LabelWords<'_>> {
        self.values.label_words()
    }

    fn each(&self, sink: &mut impl Sink) -> io::Result<()> {
        sink.push_all(&self.snapshot.traffic, &self.values)
    }
}

/// Label values of flows and of their sums.
struct FlowValues<'a> {
    shape: &'a Shape,
    labels: Vec<Label>,
    names: &'a NameTable,
}

impl FlowValues<'_> {
    /// The position of `other` among the words of each label. The words of its own come after it.
    const OTHER: usize = 0;

    fn label_words(&self) -> Vec<LabelWords<'_>> {
        let words = |label| match label {
            Label::FromType | Label::ToType => self.shape.classes.names().collect(),
            Label::Protocol => (0..=u8::MAX)
                .map(|number| ProtocolName::of(IpNumber(number)))
                .collect(),
            _ => Vec::new(),
        };
        let labels = self.labels.iter().map(|&label| LabelWords {
            name: label.name(),
            words: [OTHER].into_iter().chain(words(label)).collect(),
        });
        labels.collect()
    }

    #[inline(always)]
    fn write_label<A: Address, W: ValueWriter>(
        &self,
        flow: &Flow<A>,
        label: Label,
        out: W,
    ) -> W::Output {
        self.write_value(Value::of_flow(self.shape, &flow.key, label), out)
    }

    #[inline(always)]
    fn write_value<W: ValueWriter>(&self, value: Value, out: W) -> W::Output {
        match value {
            Value::Address(address, prefix) => out.address(address, prefix),
            Value::Name(address, prefix) => names::write_name(out, address, prefix, self.names),
            Value::Class(class) => out.word(Self::OTHER + 1 + class.number()),
            Value::Protocol(IpNumber(number)) => out.word(Self::OTHER + 1 + usize::from(number)),
            Value::Number(number) => out.number(number),
            Value::Service(service) => {
                out.text(self.shape.services.name(service).unwrap_or_default())
            }
            Value::Country(country) => out.text(country.as_str()),
            Value::Operator(number) => {
                let operator = self.shape.places.operator(number);
                out.text(operator.as_ref().map_or("", Operator::as_str))
            }
            Value::Other => out.word(Self::OTHER),
            Value::Nothing => out.text(""),
        }
    }
}

/// Evaluates an expression for a label. Each default label has a branch of its own. There it is
/// constant, so the compiler knows the kind of its value.
macro_rules! with_label {
    ($value:expr, |$label:ident| $expression:expr) => {
        with_label!($value, |$label| $expression, From FromType To ToType Protocol ListenPort)
    };
    ($value:expr, |$label:ident| $expression:expr, $($default:ident)*) => {
        match $value {
            $(Label::$default => {
                let $label = Label::$default;
                $expression
            })*
            $label => $expression,
        }
    };
}

impl<A: Address> LabelValues<Flow<A>> for FlowValues<'_> {
    #[inline(always)]
    fn write<W: ValueWriter>(&self, flow: &Flow<A>, label: usize, out: W) -> W::Output {
        with_label!(self.labels[label], |label| self
            .write_label(flow, label, out))
    }

    fn sum<W>(&self, flows: &[Flow<A>], label: usize, out: W) -> usize
    where
        W: ValueWriter<Output = usize> + Copy,
    {
        let mut sum = 0;
        with_label!(self.labels[label], |label| for flow in flows {
            sum += self.write_label(flow, label, out);
        });
        sum
    }
}

impl LabelValues<Sum<OverflowKey>> for FlowValues<'_> {
    fn write<W: ValueWriter>(&self, sum: &Sum<OverflowKey>, label: usize, out: W) -> W::Output {
        let value = Value::of_overflow(self.shape, sum.key, self.labels[label]);
        self.write_value(value, out)
    }
}

impl LabelValues<Sum<TrafficKey>> for FlowValues<'_> {
    fn write<W: ValueWriter>(&self, sum: &Sum<TrafficKey>, label: usize, out: W) -> W::Output {
        let value = Value::of_traffic(self.shape, sum.key, self.labels[label]);
        self.write_value(value, out)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::super::catalog::OBSERVED_BYTES;
    use super::super::dialect::Dialect;
    use super::super::labels;
    use super::super::messages::{MessageLabels, Messages};
    use super::super::sizes::Sizes;
    use super::super::text_series::{TextLabels, TextSeries};
    use super::*;
    use crate::flow::{Classes, Counters, Key, Place, Service, Services, Start, WHOLE};
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
        let values = FlowValues {
            shape,
            labels: shape.labels.iter().collect(),
            names,
        };
        let words = values.label_words();
        let text_labels = TextLabels::new(&words);
        let mut message_labels = MessageLabels::new(&words);
        let (mut text, mut messages) = (Vec::new(), Vec::new());
        let count = |counters: &Counters| counters.bytes;
        let family = OBSERVED_BYTES;
        let flows: Vec<_> = keys.iter().map(|key| flow(*key)).collect();
        TextSeries::begin(
            &mut text,
            Dialect::Prometheus,
            family,
            &text_labels,
            None,
            count,
        )
        .and_then(|mut text| text.push_all(&flows, &values))
        .expect(INFALLIBLE);
        let mut sizes = Sizes::new(&message_labels, false);
        sizes.push_all(&flows, &values).expect(INFALLIBLE);
        let size = sizes.total();
        let mut records =
            Messages::begin(&mut messages, family, &mut message_labels, None, count, 0)
                .expect(INFALLIBLE);
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
        assert_eq!(size, (messages.len() - header) as u64);
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
            source_place: Place::default(),
            destination_place: Place::default(),
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
