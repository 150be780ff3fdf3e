//! The labels of a sample as text, and the value of each label alone.
//!
//! Values need no escaping: they are addresses, words and numbers.

use std::net::IpAddr;

use super::catalog::TRAFFIC_LABELS;
use crate::flow::{
    Address, Key, Label, OTHER, OverflowKey, ProtocolName, Shape, TrafficKey, WHOLE,
};

pub(crate) fn push_flow<A: Address>(text: &mut String, shape: &Shape, key: &Key<A>) {
    let mut before = '{';
    for label in shape.labels.iter() {
        push_label(text, &mut before, label.name());
        push_flow_value(text, shape, key, label);
        text.push('"');
    }
    text.push('}');
}

pub(crate) fn push_overflow(text: &mut String, shape: &Shape, key: Option<OverflowKey>) {
    let mut before = '{';
    for label in shape.labels.iter() {
        push_label(text, &mut before, label.name());
        push_overflow_value(text, shape, key, label);
        text.push('"');
    }
    text.push('}');
}

pub(crate) fn push_traffic(text: &mut String, shape: &Shape, key: Option<TrafficKey>) {
    let mut before = '{';
    for (position, name) in TRAFFIC_LABELS.iter().enumerate() {
        push_label(text, &mut before, name);
        match (position, key) {
            (0, Some(key)) => text.push_str(shape.classes.name(key.from_class)),
            (1, Some(key)) => text.push_str(shape.classes.name(key.to_class)),
            (2, Some(key)) => text.push_str(ProtocolName::of(key.protocol)),
            (3, Some(key)) => push_optional(text, shape.listen_port(key.listen_port)),
            _ => text.push_str(OTHER),
        }
        text.push('"');
    }
    text.push('}');
}

/// What a packet without a place shows as the value of a label.
pub(crate) fn push_overflow_value(
    text: &mut String,
    shape: &Shape,
    key: Option<OverflowKey>,
    label: Label,
) {
    match (label, key) {
        (Label::Protocol, Some(key)) => text.push_str(ProtocolName::of(key.protocol)),
        (Label::ListenPort, Some(key)) => push_optional(text, shape.listen_port(key.listen_port)),
        _ => text.push_str(OTHER),
    }
}

fn push_label(text: &mut String, before: &mut char, name: &str) {
    text.push(*before);
    *before = ',';
    text.push_str(name);
    text.push_str("=\"");
}

/// The value of one label of a flow.
pub(crate) fn push_flow_value<A: Address>(
    text: &mut String,
    shape: &Shape,
    key: &Key<A>,
    label: Label,
) {
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
        Label::IpVersion => push_number(text, key.ip_version()),
    }
}

/// An address, with its prefix length unless it is shown whole.
pub(crate) fn push_shown(text: &mut String, address: IpAddr, prefix: u8) {
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

pub(crate) fn push_number(text: &mut String, number: impl itoa::Integer) {
    text.push_str(itoa::Buffer::new().format(number));
}
