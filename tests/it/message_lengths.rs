//! Protobuf whose lengths are around those at which their encoding gets longer, read by `protoc`.

use std::net::Ipv4Addr;
use std::time::Duration;

use tzsp_packetstream_exporter::flow::{FlowTable, Label, Shape};
use tzsp_packetstream_exporter::metrics::Format;
use tzsp_packetstream_exporter::names::{Name, NameTable};
use tzsp_packetstream_exporter::wire::Observation;

use crate::exposition::{LIMITS, written_with_names};
use crate::protoc::{decoded_family, split};

/// The message of `tzsp_observed_bytes_total`, whose flows have the labels `from` and `from_name`.
/// Their names have these lengths.
fn message_with_names(lengths: impl IntoIterator<Item = usize>) -> Vec<u8> {
    let addresses = (1..).map(|last| Ipv4Addr::new(10, 0, 0, last));
    let names = addresses.zip(lengths).map(|(address, length)| {
        let name = Name::new(&vec![b'n'; length]).unwrap();
        (address, name)
    });
    let names: Vec<_> = names.collect();
    let shape = Shape {
        labels: [Label::From, Label::FromName].into_iter().collect(),
        ..Shape::default()
    };
    let mut table = FlowTable::new(shape, LIMITS);
    let mut batch = table.packets(names.len());
    for (address, _) in &names {
        let packet = Observation {
            source: address.octets().into(),
            ..Observation::default()
        };
        batch.push(Duration::ZERO, &packet);
    }
    table.record(&mut batch);
    let names = NameTable::of(
        names
            .into_iter()
            .map(|(address, name)| (address.into(), name)),
    );
    let messages = written_with_names(Format::Protobuf, &mut table, false, &names);
    let is_of_flows = |message: &[u8]| message.starts_with(b"\x0a\x19tzsp_observed_bytes_total");
    let mut messages = split(&messages).into_iter();
    messages
        .find(|message| is_of_flows(message))
        .unwrap()
        .to_vec()
}

#[track_caller]
fn name_lengths(message: &[u8]) -> Vec<usize> {
    let lengths = decoded_family(message).samples.into_iter().map(|sample| {
        let [_, (label, name)] = &sample.labels[..] else {
            panic!("{sample:?}");
        };
        assert_eq!(label, "from_name");
        assert_eq!(*name, "n".repeat(name.len()));
        name.len()
    });
    lengths.collect()
}

/// Lengths up to 127 take one byte. The names cross it in the length of the value, in that of its
/// label, and in that of the whole metric.
#[test]
fn protobuf_is_valid_with_names_of_any_length() {
    let message = message_with_names(1..=253);
    assert_eq!(name_lengths(&message), (1..=253).collect::<Vec<_>>());
}

/// Lengths up to 16,383 take two bytes.
#[test]
fn protobuf_is_valid_with_families_of_any_length() {
    let lengths = |last| std::iter::repeat_n(40, 158).chain([last]);
    let mut sizes = Vec::new();
    for last in 1..=100 {
        let message = message_with_names(lengths(last));
        if (16_380..16_390).contains(&message.len()) {
            assert_eq!(name_lengths(&message), lengths(last).collect::<Vec<_>>());
            sizes.push(message.len());
        }
    }
    assert_eq!(sizes, (16_380..16_390).collect::<Vec<_>>());
}
