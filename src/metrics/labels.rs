//! The labels of a sample: their values, and these as text.
//!
//! Values are not escaped, except names: the others are addresses, words and numbers.

use std::net::IpAddr;

use etherparse::IpNumber;

use super::catalog::HOST_LABELS;
use crate::flow::{
    Address, Class, Group, HostKey, Key, Label, OTHER, OverflowKey, ProtocolName, Service, Shape,
    TrafficKey, WHOLE,
};
use crate::geo::{Country, Operator};
use crate::names::NameTable;
use crate::wire::Ip;

/// The labels of the traffic families.
pub(super) const TRAFFIC: [Label; 4] = [
    Label::FromType,
    Label::ToType,
    Label::Protocol,
    Label::ListenPort,
];

/// The value of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// An address with its prefix length, or [`WHOLE`] for a single address.
    Address(Ip, u8),
    /// The name of such an address, or the address itself if it has none.
    Name(IpAddr, u8),
    Class(Class),
    Protocol(IpNumber),
    Number(u16),
    Service(Service),
    Country(Country),
    /// The number of a network operator.
    Operator(u32),
    /// Several values together: `other`.
    Other,
    /// Empty: the flow has no such value, for example no VLAN.
    Nothing,
}

impl Value {
    /// Returns the value of a flow's label. The default labels come first: no line takes time for the
    /// others if it does not have them.
    #[expect(
        clippy::inline_always,
        reason = "returned through memory, values would take longer than all the rest of a line"
    )]
    #[inline(always)]
    pub(super) fn of_flow<A: Address>(shape: &Shape, key: &Key<A>, label: Label) -> Self {
        match label {
            Label::From => Self::address(key.source, key.source_prefix),
            Label::FromType => Self::Class(key.source_class),
            Label::To => Self::address(key.destination, key.destination_prefix),
            Label::ToType => Self::Class(key.destination_class),
            Label::Protocol => Self::Protocol(key.protocol),
            Label::ListenPort => shape.listen_port(key.listen_port).into(),
            label => Self::of_other_label(shape, key, label),
        }
    }

    /// Returns the value of a label that is not one of the default labels.
    #[inline(never)]
    fn of_other_label<A: Address>(shape: &Shape, key: &Key<A>, label: Label) -> Self {
        match label {
            Label::Sensor => match key.sensor.into() {
                // The packet came in no datagram, but in a frame of TZSP itself.
                sensor if sensor.is_unspecified() => Self::Nothing,
                _ => Self::address(key.sensor, WHOLE),
            },
            Label::FromPort => key.from_port.into(),
            Label::ToPort => key.to_port.into(),
            Label::Vlan => key.vlan.into(),
            Label::Dscp => Self::Number(key.dscp.into()),
            Label::IpVersion => Self::Number(key.ip_version().into()),
            Label::FromName => Self::Name(key.source.into(), key.source_prefix),
            Label::ToName => Self::Name(key.destination.into(), key.destination_prefix),
            Label::Service => Self::Service(shape.service(key)),
            Label::FromCountry => key.source_place.country.into(),
            Label::ToCountry => key.destination_place.country.into(),
            Label::FromAsn => Self::Operator(key.source_place.operator),
            Label::ToAsn => Self::Operator(key.destination_place.operator),
            Label::From
            | Label::FromType
            | Label::To
            | Label::ToType
            | Label::Protocol
            | Label::ListenPort => unreachable!("it is a default label"),
        }
    }

    #[inline]
    fn address<A: Address>(address: A, prefix: u8) -> Self {
        let address: IpAddr = address.into();
        Self::Address(address.into(), prefix)
    }

    /// Returns the value for packets beyond the limit of flows. They have a protocol and a listen
    /// port, if there is a key.
    pub(super) fn of_overflow(shape: &Shape, key: Option<OverflowKey>, label: Label) -> Self {
        match (label, key) {
            (Label::Protocol, Some(key)) => Self::Protocol(key.protocol),
            (Label::ListenPort, Some(key)) => shape.listen_port(key.listen_port).into(),
            _ => Self::Other,
        }
    }

    /// Returns the value for a series of the traffic families. Without a key all are `other`.
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

impl From<Option<Country>> for Value {
    fn from(country: Option<Country>) -> Self {
        country.map_or(Self::Nothing, Self::Country)
    }
}

impl From<Option<u16>> for Value {
    #[inline]
    fn from(number: Option<u16>) -> Self {
        number.map_or(Self::Nothing, Self::Number)
    }
}

/// Appends the labels of a flow in braces: `{from="10.0.0.1",...}`.
pub(crate) fn push_flow<A: Address>(
    text: &mut String,
    shape: &Shape,
    names: &NameTable,
    key: &Key<A>,
) {
    push_labels(text, shape.labels.iter(), |text, label| {
        push_value(text, shape, names, Value::of_flow(shape, key, label));
    });
}

/// Appends the labels of packets beyond the limit of flows, in braces.
pub(crate) fn push_overflow(text: &mut String, shape: &Shape, key: Option<OverflowKey>) {
    push_labels(text, shape.labels.iter(), |text, label| {
        push_unnamed(text, shape, Value::of_overflow(shape, key, label));
    });
}

/// Appends the labels of a series of the traffic families, in braces.
pub(crate) fn push_traffic(text: &mut String, shape: &Shape, key: Option<TrafficKey>) {
    push_labels(text, TRAFFIC, |text, label| {
        push_unnamed(text, shape, Value::of_traffic(shape, key, label));
    });
}

/// Appends the labels of a series of a host, in braces.
pub(crate) fn push_host(text: &mut String, shape: &Shape, key: HostKey) {
    let HostKey {
        host,
        direction,
        peer_class,
    } = key;
    let [host_label, direction_label, class_label] = HOST_LABELS;
    text.extend(["{", host_label, "=\""]);
    match host {
        Some(address) => push_address(text, address, WHOLE),
        None => text.push_str(OTHER),
    }
    let class = shape.classes.name(peer_class);
    text.extend(["\",", direction_label, "=\"", direction.label()]);
    text.extend(["\",", class_label, "=\"", class, "\"}"]);
}

fn push_labels(
    text: &mut String,
    labels: impl IntoIterator<Item = Label>,
    push_value: impl Fn(&mut String, Label),
) {
    let mut before = '{';
    for label in labels {
        text.push(before);
        before = ',';
        text.extend([label.name(), "=\""]);
        push_value(text, label);
        text.push('"');
    }
    text.push('}');
}

/// Returns the value of one label of a flow, without escapes; empty if the flow has none, or if its
/// address has no name.
pub(crate) fn flow_value<A: Address>(
    shape: &Shape,
    names: &NameTable,
    key: &Key<A>,
    label: Label,
) -> String {
    let mut text = String::new();
    match Value::of_flow(shape, key, label) {
        Value::Name(address, prefix) => {
            text.push_str(name_of(names, address, prefix).unwrap_or_default());
        }
        value => push_unnamed(&mut text, shape, value),
    }
    text
}

/// Returns the value of one label of a group, without escapes; empty if it is unknown. `None` for a
/// label that groups of this kind do not have.
pub(crate) fn group_value(shape: &Shape, group: Group, label: Label) -> Option<String> {
    let value = match (group, label) {
        (Group::Countries([country, _]), Label::FromCountry)
        | (Group::Countries([_, country]), Label::ToCountry) => country.into(),
        (Group::Operators([operator, _]), Label::FromAsn)
        | (Group::Operators([_, operator]), Label::ToAsn) => Value::Operator(operator),
        (Group::Service(service), Label::Service) => Value::Service(service),
        _ => return None,
    };
    let mut text = String::new();
    push_unnamed(&mut text, shape, value);
    Some(text)
}

/// Returns the value of one label of packets beyond the limit of flows.
pub(crate) fn overflow_value(shape: &Shape, key: Option<OverflowKey>, label: Label) -> String {
    let mut text = String::new();
    push_unnamed(&mut text, shape, Value::of_overflow(shape, key, label));
    text
}

/// Returns the name of an address. A prefix has none.
pub(crate) fn name_of(names: &NameTable, address: IpAddr, prefix: u8) -> Option<&str> {
    (prefix == WHOLE).then(|| names.name_of(address)).flatten()
}

fn push_value(text: &mut String, shape: &Shape, names: &NameTable, value: Value) {
    if let Value::Name(address, prefix) = value
        && let Some(name) = name_of(names, address, prefix)
    {
        return push_escaped(text, name);
    }
    if let Value::Operator(number) = value {
        let operator = shape.places.operator(number);
        return push_escaped(text, operator.as_ref().map_or("", Operator::as_str));
    }
    push_unnamed(text, shape, value);
}

fn push_escaped(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str(r"\\"),
            '"' => text.push_str("\\\""),
            character => text.push(character),
        }
    }
}

/// Appends a value where addresses have no names.
fn push_unnamed(text: &mut String, shape: &Shape, value: Value) {
    match value {
        Value::Address(address, prefix) => push_address(text, address.into(), prefix),
        Value::Name(address, prefix) => push_address(text, address, prefix),
        Value::Class(class) => text.push_str(shape.classes.name(class)),
        Value::Protocol(protocol) => text.push_str(ProtocolName::of(protocol)),
        Value::Number(number) => push_number(text, number),
        Value::Service(service) => {
            text.push_str(shape.services.name(service).unwrap_or_default());
        }
        Value::Country(country) => text.push_str(country.as_str()),
        Value::Operator(number) => {
            let operator = shape.places.operator(number);
            text.push_str(operator.as_ref().map_or("", Operator::as_str));
        }
        Value::Other => text.push_str(OTHER),
        Value::Nothing => {}
    }
}

/// Appends an address, with its prefix length unless that is [`WHOLE`].
pub(crate) fn push_address(text: &mut String, address: IpAddr, prefix: u8) {
    // The standard library writes IPv6 as RFC 5952 asks for.
    text.push_str(&address.to_string());
    if prefix != WHOLE {
        text.push('/');
        push_number(text, prefix);
    }
}

pub(crate) fn push_number(text: &mut String, number: impl itoa::Integer) {
    text.push_str(itoa::Buffer::new().format(number));
}
