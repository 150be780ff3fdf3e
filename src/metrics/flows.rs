//! The flow families: a streaming encoder of our own, because there may be a million samples.

use std::io::{self, Write};

use super::catalog::{Family, OBSERVED_BYTES, OBSERVED_PACKETS};
use crate::flow::{AddressClass, Flow, ProtocolName};

/// Text is handed on in pieces of about this size.
const PIECE: usize = 64 * 1024;
/// No line is longer.
const LONGEST_LINE: usize = 512;

/// Writes both families, sorted by address, protocol and port.
pub(super) fn write(out: &mut impl Write, mut flows: Vec<Flow>) -> io::Result<()> {
    flows.sort_unstable_by_key(|flow| flow.key);
    write_family(out, OBSERVED_BYTES, &flows, |flow| flow.counters.bytes)?;
    write_family(out, OBSERVED_PACKETS, &flows, |flow| flow.counters.packets)
}

fn write_family(
    out: &mut impl Write,
    family: Family,
    flows: &[Flow],
    value: fn(&Flow) -> u64,
) -> io::Result<()> {
    let mut text = String::with_capacity(PIECE + LONGEST_LINE);
    push_header(&mut text, family);
    let name = family.name;
    for flow in flows {
        push_sample(&mut text, name, flow, value(flow));
        if text.len() >= PIECE {
            out.write_all(text.as_bytes())?;
            text.clear();
        }
    }
    out.write_all(text.as_bytes())
}

fn push_header(text: &mut String, family: Family) {
    for part in ["# HELP ", family.name, " ", family.help, "\n"] {
        text.push_str(part);
    }
    for part in ["# TYPE ", family.name, " ", family.kind.name(), "\n"] {
        text.push_str(part);
    }
}

/// Label values need no escaping: they are addresses, words and numbers.
fn push_sample(text: &mut String, name: &str, flow: &Flow, value: u64) {
    let key = flow.key;
    text.push_str(name);
    text.push_str("{from=\"");
    push_address(text, key.source.octets());
    text.push_str("\",from_type=\"");
    text.push_str(AddressClass::of(key.source).label());
    text.push_str("\",to=\"");
    push_address(text, key.destination.octets());
    text.push_str("\",to_type=\"");
    text.push_str(AddressClass::of(key.destination).label());
    text.push_str("\",protocol=\"");
    text.push_str(ProtocolName::of(key.protocol));
    text.push_str("\",listen_port=\"");
    push_number(text, key.listen_port);
    text.push_str("\"} ");
    push_number(text, value);
    text.push('\n');
}

fn push_address(text: &mut String, [a, b, c, d]: [u8; 4]) {
    push_number(text, a);
    for octet in [b, c, d] {
        text.push('.');
        push_number(text, octet);
    }
}

fn push_number(text: &mut String, number: impl itoa::Integer) {
    text.push_str(itoa::Buffer::new().format(number));
}
