//! The labels of a sample: which value each has, and that as text.
//!
//! Values need no escaping: they are addresses, words and numbers.

use std::net::IpAddr;

use etherparse::IpNumber;

use crate::flow::{
    Address, Class, Key, Label, OTHER, OverflowKey, ProtocolName, Shape, TrafficKey, WHOLE,
};

/// Those of the traffic families.
pub(super) const TRAFFIC: [Label; 4] = [
    Label::FromType,
    Label::ToType,
    Label::Protocol,
    Label::ListenPort,
];

/// What a label says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// With its prefix length, or [`WHOLE`].
    Address(IpAddr, u8),
    Class(Class),
    Protocol(IpNumber),
    Number(u16),
    /// What several flows have counted together.
    Other,
    Nothing,
}

impl Value {
    /// Of one flow.
    #[inline]
    pub(super) fn of_flow<A: Address>(shape: &Shape, key: &Key<A>, label: Label) -> Self {
        match label {
            Label::From => Self::Address(key.source.into(), key.source_prefix),
            Label::FromType => Self::Class(key.source_class),
            Label::To => Self::Address(key.destination.into(), key.destination_prefix),
            Label::ToType => Self::Class(key.destination_class),
            Label::Protocol => Self::Protocol(key.protocol),
            Label::ListenPort => shape.listen_port(key.listen_port).into(),
            Label::Sensor => match key.sensor.into() {
                // No datagram carried the packet.
                sensor if sensor.is_unspecified() => Self::Nothing,
                sensor => Self::Address(sensor, WHOLE),
            },
            Label::FromPort => key.from_port.into(),
            Label::ToPort => key.to_port.into(),
            Label::Vlan => key.vlan.into(),
            Label::Dscp => Self::Number(key.dscp.into()),
            Label::IpVersion => Self::Number(key.ip_version().into()),
        }
    }

    /// Of packets without a place.
    pub(super) fn of_overflow(shape: &Shape, key: Option<OverflowKey>, label: Label) -> Self {
        match (label, key) {
            (Label::Protocol, Some(key)) => Self::Protocol(key.protocol),
            (Label::ListenPort, Some(key)) => shape.listen_port(key.listen_port).into(),
            _ => Self::Other,
        }
    }

    /// Of one series of the traffic families.
    pub(super) fn of_traffic(shape: &Shape, key: Option<TrafficKey>, label: Label) -> Self {
        match (label, key) {
            (Label::FromType, Some(key)) => Self::Class(key.from_class),
            (Label::ToType, Some(key)) => Self::Class(key.to_class),
            (Label::Protocol, Some(key)) => Self::Protocol(key.protocol),
            (Label::ListenPort, Some(key)) => shape.listen_port(key.listen_port).into(),
            _ => Self::Other,
        }
    }
}

impl From<Option<u16>> for Value {
    #[inline]
    fn from(number: Option<u16>) -> Self {
        number.map_or(Self::Nothing, Self::Number)
    }
}

pub(crate) fn push_flow<A: Address>(text: &mut String, shape: &Shape, key: &Key<A>) {
    push_labels(text, shape, shape.labels.iter(), |label| {
        Value::of_flow(shape, key, label)
    });
}

pub(crate) fn push_overflow(text: &mut String, shape: &Shape, key: Option<OverflowKey>) {
    push_labels(text, shape, shape.labels.iter(), |label| {
        Value::of_overflow(shape, key, label)
    });
}

pub(crate) fn push_traffic(text: &mut String, shape: &Shape, key: Option<TrafficKey>) {
    push_labels(text, shape, TRAFFIC, |label| {
        Value::of_traffic(shape, key, label)
    });
}

fn push_labels(
    text: &mut String,
    shape: &Shape,
    labels: impl IntoIterator<Item = Label>,
    value: impl Fn(Label) -> Value,
) {
    let mut before = '{';
    for label in labels {
        text.push(before);
        before = ',';
        text.extend([label.name(), "=\""]);
        push_value(text, shape, value(label));
        text.push('"');
    }
    text.push('}');
}

/// Returns the value of one label of a flow; empty if the flow has none.
pub(crate) fn flow_value<A: Address>(shape: &Shape, key: &Key<A>, label: Label) -> String {
    let mut text = String::new();
    push_value(&mut text, shape, Value::of_flow(shape, key, label));
    text
}

/// Returns the value of one label of packets beyond the limit of flows.
pub(crate) fn overflow_value(shape: &Shape, key: Option<OverflowKey>, label: Label) -> String {
    let mut text = String::new();
    push_value(&mut text, shape, Value::of_overflow(shape, key, label));
    text
}

fn push_value(text: &mut String, shape: &Shape, value: Value) {
    match value {
        Value::Address(address, prefix) => push_shown(text, address, prefix),
        Value::Class(class) => text.push_str(shape.classes.name(class)),
        Value::Protocol(protocol) => text.push_str(ProtocolName::of(protocol)),
        Value::Number(number) => push_number(text, number),
        Value::Other => text.push_str(OTHER),
        Value::Nothing => {}
    }
}

/// An address, with its prefix length unless it is shown whole.
pub(crate) fn push_shown(text: &mut String, address: IpAddr, prefix: u8) {
    // IPv6 as RFC 5952 wants it.
    text.push_str(&address.to_string());
    if prefix != WHOLE {
        text.push('/');
        push_number(text, prefix);
    }
}

pub(crate) fn push_number(text: &mut String, number: impl itoa::Integer) {
    text.push_str(itoa::Buffer::new().format(number));
}
