//! The flow and traffic families. They may have a million samples, so they are written as a stream
//! instead of being collected by the prometheus crate.

use std::io::{self, Write};

use etherparse::IpNumber;

use super::Format;
use super::catalog::{Family, OBSERVED_BYTES, OBSERVED_PACKETS, TRAFFIC_BYTES, TRAFFIC_PACKETS};
use super::dialect::{Dialect, END};
use super::labels::{TRAFFIC, Value};
use super::lines;
use super::names;
use super::text::{Line, Word};
use crate::flow::{Classes, Counters, Label, OTHER, ProtocolName, Snapshot};
use crate::names::NameTable;

/// Writes the four families, and the end of the format. Samples are sorted by their label values, in the order of the labels:
/// IPv4 flows first, then IPv6 flows, then `other`.
pub(super) fn write(
    out: &mut impl Write,
    format: Format,
    mut snapshot: Snapshot,
    names: Option<&NameTable>,
    threads: usize,
) -> io::Result<()> {
    snapshot.sort_by_key(threads);
    // `None` sorts before `Some`, but the sum without a key comes last.
    snapshot
        .overflow
        .sort_unstable_by_key(|sum| (sum.key.is_none(), sum.key));
    snapshot
        .traffic
        .sort_unstable_by_key(|sum| (sum.key.is_none(), sum.key));

    if let Some(names) = names {
        names::write(out, format.into(), &snapshot, names)?;
    }
    let no_names = NameTable::default();
    let families = Families {
        dialect: format.into(),
        threads,
        words: ValueWords::of(&snapshot.shape.classes),
        snapshot,
        names: names.unwrap_or(&no_names),
    };
    families.write_flows(out, OBSERVED_BYTES, |counters| counters.bytes)?;
    families.write_flows(out, OBSERVED_PACKETS, |counters| counters.packets)?;
    families.write_traffic(out, TRAFFIC_BYTES, |counters| counters.bytes)?;
    families.write_traffic(out, TRAFFIC_PACKETS, |counters| counters.packets)?;
    match format {
        Format::Text => Ok(()),
        Format::OpenMetrics => out.write_all(END.as_bytes()),
    }
}

struct Families<'a> {
    dialect: Dialect,
    threads: usize,
    words: ValueWords,
    snapshot: Snapshot,
    names: &'a NameTable,
}

impl Families<'_> {
    fn write_flows(
        &self,
        out: &mut impl Write,
        family: Family,
        count: impl Fn(&Counters) -> u64 + Sync,
    ) -> io::Result<()> {
        let Snapshot {
            shape,
            narrow,
            wide,
            overflow,
            ..
        } = &self.snapshot;
        let template = Template::new(family, shape.labels.iter(), &self.words, self.names);
        self.write_header(out, family)?;
        lines::write(out, self.threads, narrow, |line, flow| {
            let value = |label| Value::of_flow(shape, &flow.key, label);
            template.fill(line, value, count(&flow.counters));
        })?;
        lines::write(out, self.threads, wide, |line, flow| {
            let value = |label| Value::of_flow(shape, &flow.key, label);
            template.fill(line, value, count(&flow.counters));
        })?;
        lines::write(out, self.threads, overflow, |line, sum| {
            let value = |label| Value::of_overflow(shape, sum.key, label);
            template.fill(line, value, count(&sum.counters));
        })
    }

    fn write_traffic(
        &self,
        out: &mut impl Write,
        family: Family,
        count: impl Fn(&Counters) -> u64 + Sync,
    ) -> io::Result<()> {
        let Snapshot { shape, traffic, .. } = &self.snapshot;
        let template = Template::new(family, TRAFFIC, &self.words, self.names);
        self.write_header(out, family)?;
        lines::write(out, self.threads, traffic, |line, sum| {
            let value = |label| Value::of_traffic(shape, sum.key, label);
            template.fill(line, value, count(&sum.counters));
        })
    }

    fn write_header(&self, out: &mut impl Write, family: Family) -> io::Result<()> {
        let mut header = String::new();
        self.dialect.push_header(&mut header, family);
        out.write_all(header.as_bytes())
    }
}

/// The constant parts of a family's lines.
struct Template<'a> {
    /// The text before each label's value, and the label. The first text begins with the family's
    /// name.
    labels: Vec<(Word, Label)>,
    words: &'a ValueWords,
    names: &'a NameTable,
}

impl<'a> Template<'a> {
    fn new(
        family: Family,
        labels: impl IntoIterator<Item = Label>,
        words: &'a ValueWords,
        names: &'a NameTable,
    ) -> Self {
        let mut before = format!("{}{{", family.name);
        let labels = labels.into_iter().map(|label| {
            let word = Word::new(format!("{before}{}=\"", label.name()));
            before = "\",".into();
            (word, label)
        });
        Self {
            labels: labels.collect(),
            words,
            names,
        }
    }

    /// Writes a line with these label values and this count.
    #[inline]
    fn fill(&self, line: &mut Line<'_>, value: impl Fn(Label) -> Value, count: u64) {
        for (before, label) in &self.labels {
            line.push(before);
            match value(*label) {
                Value::Address(address, prefix) => names::push_address(line, address, prefix),
                Value::Name(address, prefix) => {
                    names::push_name(line, address, prefix, self.names);
                }
                Value::Class(class) => line.push(&self.words.classes[class.number()]),
                Value::Protocol(IpNumber(protocol)) => {
                    line.push(&self.words.protocols[usize::from(protocol)]);
                }
                Value::Number(number) => line.push_number(number.into()),
                Value::Other => line.push(&self.words.other),
                Value::Nothing => {}
            }
        }
        line.push_bytes(b"\"} ");
        line.push_number(count);
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

    use super::super::labels;
    use super::super::text::Text;
    use super::*;
    use crate::flow::{Address, Key, Shape, WHOLE};
    use crate::names::Name;

    /// Compares the lines of the first family with those that `labels` renders.
    #[track_caller]
    fn check<A: Address>(shape: &Shape, names: &NameTable, keys: &[Key<A>]) {
        let words = ValueWords::of(&shape.classes);
        let template = Template::new(OBSERVED_BYTES, shape.labels.iter(), &words, names);
        let mut out = Vec::new();
        let mut text = Text::new(&mut out);
        let mut expected = String::new();
        for key in keys {
            let value = |label| Value::of_flow(shape, key, label);
            text.push(|line| template.fill(line, value, u64::MAX))
                .expect("writing to a Vec does not fail");
            expected.push_str(OBSERVED_BYTES.name);
            labels::push_flow(&mut expected, shape, names, key);
            expected.extend([" ", &u64::MAX.to_string(), "\n"]);
        }
        text.flush().expect("writing to a Vec does not fail");
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }

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
            let none = NameTable::default();
            check(&shape, &none, &keys(&shape, ipv6, 127, Some(u16::MAX)));
            let ipv4 = keys(&shape, Ipv4Addr::BROADCAST, 31, Some(1000));
            check(&shape, &none, &ipv4);
            check(
                &shape,
                &none,
                &keys(&shape, Ipv4Addr::UNSPECIFIED, WHOLE, None),
            );
            let quotes = Name::new(&[b'"'; 253]).expect("a name");
            let named = NameTable::of([(ipv6, quotes)]);
            check(&shape, &named, &keys(&shape, ipv6, WHOLE, Some(u16::MAX)));
        }
    }
}
