//! The flow and traffic families: a streaming encoder of our own, because there may be a million
//! samples.

use std::io::{self, Write};

use etherparse::IpNumber;

use super::Dialect;
use super::catalog::{Family, OBSERVED_BYTES, OBSERVED_PACKETS, TRAFFIC_BYTES, TRAFFIC_PACKETS};
use super::labels::{TRAFFIC, Value};
use super::text::{Line, Text, Word};
use crate::flow::{Classes, Counters, Label, OTHER, ProtocolName, Snapshot, WHOLE};

/// Writes all four families, each sorted by its labels in their order: flows of IPv4 before the
/// others, and what is counted as `other` last.
pub(super) fn write(
    out: &mut impl Write,
    dialect: Dialect,
    mut snapshot: Snapshot,
) -> io::Result<()> {
    snapshot.sort_by_key();
    // Without a key comes last.
    snapshot
        .overflow
        .sort_unstable_by_key(|sum| (sum.key.is_none(), sum.key));
    snapshot
        .traffic
        .sort_unstable_by_key(|sum| (sum.key.is_none(), sum.key));

    let families = Families {
        dialect,
        names: Names::of(&snapshot.shape.classes),
        snapshot,
    };
    families.write_flows(out, OBSERVED_BYTES, |counters| counters.bytes)?;
    families.write_flows(out, OBSERVED_PACKETS, |counters| counters.packets)?;
    families.write_traffic(out, TRAFFIC_BYTES, |counters| counters.bytes)?;
    families.write_traffic(out, TRAFFIC_PACKETS, |counters| counters.packets)
}

struct Families {
    dialect: Dialect,
    names: Names,
    snapshot: Snapshot,
}

impl Families {
    fn write_flows(
        &self,
        out: &mut impl Write,
        family: Family,
        count: impl Fn(&Counters) -> u64,
    ) -> io::Result<()> {
        let shape = &*self.snapshot.shape;
        let template = Template::new(family, shape.labels.iter(), &self.names);
        self.write_header(out, family)?;
        let mut text = Text::new(out);
        for flow in &self.snapshot.narrow {
            let value = |label| Value::of_flow(shape, &flow.key, label);
            text.push(|line| template.fill(line, value, count(&flow.counters)))?;
        }
        for flow in &self.snapshot.wide {
            let value = |label| Value::of_flow(shape, &flow.key, label);
            text.push(|line| template.fill(line, value, count(&flow.counters)))?;
        }
        for sum in &self.snapshot.overflow {
            let value = |label| Value::of_overflow(shape, sum.key, label);
            text.push(|line| template.fill(line, value, count(&sum.counters)))?;
        }
        text.flush()
    }

    fn write_traffic(
        &self,
        out: &mut impl Write,
        family: Family,
        count: impl Fn(&Counters) -> u64,
    ) -> io::Result<()> {
        let shape = &*self.snapshot.shape;
        let template = Template::new(family, TRAFFIC, &self.names);
        self.write_header(out, family)?;
        let mut text = Text::new(out);
        for sum in &self.snapshot.traffic {
            let value = |label| Value::of_traffic(shape, sum.key, label);
            text.push(|line| template.fill(line, value, count(&sum.counters)))?;
        }
        text.flush()
    }

    fn write_header(&self, out: &mut impl Write, family: Family) -> io::Result<()> {
        let mut header = String::new();
        self.dialect.push_header(&mut header, family);
        out.write_all(header.as_bytes())
    }
}

/// The lines of a family but for what differs between them.
struct Template<'a> {
    /// Each label, and what stands before its value.
    labels: Vec<(Word, Label)>,
    names: &'a Names,
}

impl<'a> Template<'a> {
    fn new(family: Family, labels: impl IntoIterator<Item = Label>, names: &'a Names) -> Self {
        let mut before = format!("{}{{", family.name);
        let labels = labels.into_iter().map(|label| {
            let word = Word::new(format!("{before}{}=\"", label.name()));
            before = "\",".into();
            (word, label)
        });
        Self {
            labels: labels.collect(),
            names,
        }
    }

    #[inline]
    fn fill(&self, line: &mut Line<'_>, value: impl Fn(Label) -> Value, count: u64) {
        for (before, label) in &self.labels {
            line.push(before);
            match value(*label) {
                Value::Address(address, prefix) => {
                    line.push_address(address);
                    if prefix != WHOLE {
                        line.push_bytes(b"/");
                        line.push_number(prefix.into());
                    }
                }
                Value::Class(class) => line.push(&self.names.classes[class.number()]),
                Value::Protocol(IpNumber(protocol)) => {
                    line.push(&self.names.protocols[usize::from(protocol)]);
                }
                Value::Number(number) => line.push_number(number.into()),
                Value::Other => line.push(&self.names.other),
                Value::Nothing => {}
            }
        }
        line.push_bytes(b"\"} ");
        line.push_number(count);
    }
}

/// Values that are words.
struct Names {
    /// By the number of the class.
    classes: Vec<Word>,
    /// By the number of the protocol.
    protocols: Vec<Word>,
    other: Word,
}

impl Names {
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
    use super::*;
    use crate::flow::{Address, Key, Shape};

    /// The lines of the first family against what labels say of themselves.
    #[track_caller]
    fn check<A: Address>(shape: &Shape, keys: &[Key<A>]) {
        let names = Names::of(&shape.classes);
        let template = Template::new(OBSERVED_BYTES, shape.labels.iter(), &names);
        let mut out = Vec::new();
        let mut text = Text::new(&mut out);
        let mut expected = String::new();
        for key in keys {
            let value = |label| Value::of_flow(shape, key, label);
            text.push(|line| template.fill(line, value, u64::MAX))
                .expect("a Vec takes everything");
            expected.push_str(OBSERVED_BYTES.name);
            labels::push_flow(&mut expected, shape, key);
            expected.extend([" ", &u64::MAX.to_string(), "\n"]);
        }
        text.flush().expect("a Vec takes everything");
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }

    /// One of each protocol, all with these addresses.
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
    fn the_longest_lines_and_the_shortest_have_room() {
        let name = "n".repeat(64);
        let networks = [format!("{name}=::/0"), format!("{name}=0.0.0.0/0")];
        let networks = networks.map(|network| network.parse().expect("a network"));
        for plain in [false, true] {
            let shape = Shape {
                labels: Label::ALL.into_iter().collect(),
                classes: Classes::new(&networks, &[]).expect("these go together"),
                plain,
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
