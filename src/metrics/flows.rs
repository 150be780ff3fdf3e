//! The flow and traffic families: a streaming encoder of our own, because there may be a million
//! samples.

use std::io::{self, Write};
use std::net::IpAddr;

use super::catalog::{Family, OBSERVED_BYTES, OBSERVED_PACKETS, TRAFFIC_BYTES, TRAFFIC_PACKETS};
use crate::flow::{
    Address, Counters, Flow, Key, Label, OTHER, OverflowKey, ProtocolName, Shape, Snapshot, Sum,
    TrafficKey, WHOLE,
};

/// Text is handed on in pieces of about this size.
const PIECE: usize = 64 * 1024;
/// No line is longer.
const LONGEST_LINE: usize = 1024;

/// Writes all four families, each sorted by its labels in their order: flows of IPv4 before the
/// others, and what is counted as `other` last.
pub(super) fn write(out: &mut impl Write, mut snapshot: Snapshot) -> io::Result<()> {
    snapshot.narrow.sort_unstable_by_key(|flow| flow.key);
    snapshot.wide.sort_unstable_by_key(|flow| flow.key);
    // Without a key comes last.
    snapshot
        .overflow
        .sort_unstable_by_key(|sum| (sum.key.is_none(), sum.key));
    snapshot
        .traffic
        .sort_unstable_by_key(|sum| (sum.key.is_none(), sum.key));

    write_flows(out, OBSERVED_BYTES, &snapshot, |counters| counters.bytes)?;
    write_flows(out, OBSERVED_PACKETS, &snapshot, |counters| {
        counters.packets
    })?;
    write_traffic(out, TRAFFIC_BYTES, &snapshot, |counters| counters.bytes)?;
    write_traffic(out, TRAFFIC_PACKETS, &snapshot, |counters| counters.packets)
}

type Value = fn(&Counters) -> u64;

fn write_flows(
    out: &mut impl Write,
    family: Family,
    snapshot: &Snapshot,
    value: Value,
) -> io::Result<()> {
    let mut text = Text::new(out);
    text.push_header(family);
    for flow in &snapshot.narrow {
        text.push_flow(family, &snapshot.shape, flow, value)?;
    }
    for flow in &snapshot.wide {
        text.push_flow(family, &snapshot.shape, flow, value)?;
    }
    for sum in &snapshot.overflow {
        text.push_overflow(family, &snapshot.shape, sum, value)?;
    }
    text.finish()
}

fn write_traffic(
    out: &mut impl Write,
    family: Family,
    snapshot: &Snapshot,
    value: Value,
) -> io::Result<()> {
    let mut text = Text::new(out);
    text.push_header(family);
    for sum in &snapshot.traffic {
        text.push_traffic(family, &snapshot.shape, sum, value)?;
    }
    text.finish()
}

/// Text on its way out.
struct Text<'a, W> {
    out: &'a mut W,
    text: String,
}

/// Label values need no escaping: they are addresses, words and numbers.
impl<'a, W: Write> Text<'a, W> {
    fn new(out: &'a mut W) -> Self {
        Self {
            out,
            text: String::with_capacity(PIECE + LONGEST_LINE),
        }
    }

    fn push_header(&mut self, family: Family) {
        for part in ["# HELP ", family.name, " ", family.help, "\n"] {
            self.text.push_str(part);
        }
        for part in ["# TYPE ", family.name, " ", family.kind.name(), "\n"] {
            self.text.push_str(part);
        }
    }

    fn push_flow<A: Address>(
        &mut self,
        family: Family,
        shape: &Shape,
        flow: &Flow<A>,
        value: Value,
    ) -> io::Result<()> {
        self.text.push_str(family.name);
        let mut before = '{';
        for label in shape.labels.iter() {
            push_label(&mut self.text, &mut before, label.name());
            push_flow_value(&mut self.text, shape, &flow.key, label);
            self.text.push('"');
        }
        self.end_sample(value(&flow.counters))
    }

    fn push_overflow(
        &mut self,
        family: Family,
        shape: &Shape,
        sum: &Sum<OverflowKey>,
        value: Value,
    ) -> io::Result<()> {
        self.text.push_str(family.name);
        let mut before = '{';
        for label in shape.labels.iter() {
            push_label(&mut self.text, &mut before, label.name());
            match (label, sum.key) {
                (Label::Protocol, Some(key)) => {
                    self.text.push_str(ProtocolName::of(key.protocol));
                }
                (Label::ListenPort, Some(key)) => {
                    push_optional(&mut self.text, shape.listen_port(key.listen_port));
                }
                _ => self.text.push_str(OTHER),
            }
            self.text.push('"');
        }
        self.end_sample(value(&sum.counters))
    }

    fn push_traffic(
        &mut self,
        family: Family,
        shape: &Shape,
        sum: &Sum<TrafficKey>,
        value: Value,
    ) -> io::Result<()> {
        self.text.push_str(family.name);
        let mut before = '{';
        for (position, name) in family.labels.iter().enumerate() {
            push_label(&mut self.text, &mut before, name);
            match (position, sum.key) {
                (0, Some(key)) => self.text.push_str(shape.classes.name(key.from_class)),
                (1, Some(key)) => self.text.push_str(shape.classes.name(key.to_class)),
                (2, Some(key)) => self.text.push_str(ProtocolName::of(key.protocol)),
                (3, Some(key)) => {
                    push_optional(&mut self.text, shape.listen_port(key.listen_port));
                }
                _ => self.text.push_str(OTHER),
            }
            self.text.push('"');
        }
        self.end_sample(value(&sum.counters))
    }

    fn end_sample(&mut self, value: u64) -> io::Result<()> {
        self.text.push_str("} ");
        push_number(&mut self.text, value);
        self.text.push('\n');
        if self.text.len() >= PIECE {
            self.out.write_all(self.text.as_bytes())?;
            self.text.clear();
        }
        Ok(())
    }

    fn finish(self) -> io::Result<()> {
        self.out.write_all(self.text.as_bytes())
    }
}

fn push_label(text: &mut String, before: &mut char, name: &str) {
    text.push(*before);
    *before = ',';
    text.push_str(name);
    text.push_str("=\"");
}

fn push_flow_value<A: Address>(text: &mut String, shape: &Shape, key: &Key<A>, label: Label) {
    match label {
        Label::From => push_shown(text, key.source.into(), key.source_prefix),
        Label::FromType => text.push_str(shape.classes.name(key.source_class)),
        Label::To => push_shown(text, key.destination.into(), key.destination_prefix),
        Label::ToType => text.push_str(shape.classes.name(key.destination_class)),
        Label::Protocol => text.push_str(ProtocolName::of(key.protocol)),
        Label::ListenPort => push_optional(text, shape.listen_port(key.listen_port)),
        Label::Sensor => push_sensor(text, key.sensor.into()),
        Label::FromPort => push_optional(text, key.from_port),
        Label::ToPort => push_optional(text, key.to_port),
        Label::Vlan => push_optional(text, key.vlan),
        Label::Dscp => push_number(text, key.dscp),
        Label::IpVersion => {
            let is_ipv6 = key.source.into().is_ipv6() || key.destination.into().is_ipv6();
            text.push(if is_ipv6 { '6' } else { '4' });
        }
    }
}

fn push_shown(text: &mut String, address: IpAddr, prefix: u8) {
    push_address(text, address);
    if prefix != WHOLE {
        text.push('/');
        push_number(text, prefix);
    }
}

fn push_address(text: &mut String, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            push_number(text, a);
            for octet in [b, c, d] {
                text.push('.');
                push_number(text, octet);
            }
        }
        // As RFC 5952 wants it.
        IpAddr::V6(address) => text.push_str(&address.to_string()),
    }
}

/// Nothing where no datagram carried the packet.
fn push_sensor(text: &mut String, sensor: IpAddr) {
    if !sensor.is_unspecified() {
        push_address(text, sensor);
    }
}

fn push_optional(text: &mut String, number: Option<u16>) {
    if let Some(number) = number {
        push_number(text, number);
    }
}

fn push_number(text: &mut String, number: impl itoa::Integer) {
    text.push_str(itoa::Buffer::new().format(number));
}
