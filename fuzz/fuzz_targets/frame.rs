//! Decodes one frame with `wire`, with all options, on the fast path and on the slow path.
//!
//! The first two bytes are the link type. The third is the number of bytes by which the frame was
//! truncated, divided by 8.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tzsp_packetstream_exporter::wire::{
    self, Captured, DecodeOptions, LinkType, ListenPorts, Observation, Skipped,
};

fuzz_target!(|bytes: &[u8]| {
    let Some(([high, low, cut], bytes)) = bytes.split_first_chunk() else {
        return;
    };
    let link = LinkType(u16::from_be_bytes([*high, *low]));
    let length = bytes.len() + usize::from(*cut) * 8;
    let frame = Captured::new(bytes, length);

    let outcomes = [ListenPorts::Any, ListenPorts::Only(vec![37008])].map(|listen_ports| {
        [false, true].map(|ipv6| decode(link, frame, listen_ports.clone(), ipv6))
    });
    let [[any, any_ipv6], [only, only_ipv6]] = outcomes;
    agree_on_ipv6(any, any_ipv6);
    agree_on_ipv6(only, only_ipv6);
    match only_ipv6 {
        Err(Skipped::OtherPort) => {}
        _ => assert_eq!(only_ipv6, any_ipv6),
    }
    let [plain, plain_ipv6] =
        [false, true].map(|ipv6| decode(link, frame, ListenPorts::Plain, ipv6));
    agree_on_ipv6(plain, plain_ipv6);

    let mirrored = wire::decapsulate(link, frame, &ListenPorts::Any);
    if any_ipv6.is_ok() {
        // A frame that counts in a flow contains a mirrored frame.
        assert!(mirrored.is_some());
    }
    let Some(Ok(mirrored)) = mirrored else {
        return;
    };
    let header = mirrored.header.map_or(0, |header| header.len());
    assert!(mirrored.length >= header + mirrored.rest.len());
    // The mirrored frame, written to a file and read again, must give the same observation.
    let written = [
        mirrored.header.as_ref().map_or(&[][..], |header| header),
        mirrored.rest,
    ]
    .concat();
    let written = Captured::new(&written, mirrored.length);
    let again = decode(LinkType::ETHERNET, written, ListenPorts::Plain, true);
    if let (Ok(first), Ok(again)) = (any_ipv6, again) {
        let of = |seen: Observation| {
            let addresses = (seen.source, seen.destination, seen.protocol, seen.ports);
            (addresses, seen.vlan, seen.dscp)
        };
        assert_eq!(of(first), of(again));
    } else {
        assert_eq!(any_ipv6.is_ok(), again.is_ok(), "{any_ipv6:?} {again:?}");
    }
});

fn decode(
    link: LinkType,
    frame: Captured<'_>,
    listen_ports: ListenPorts,
    ipv6: bool,
) -> Result<Observation, Skipped> {
    let options = DecodeOptions { listen_ports, ipv6 };
    let outcome = wire::decode_full(link, frame, &options);
    if let Some(seen) = wire::decode_fast(link, frame, &options) {
        assert_eq!(outcome, Ok(seen));
    }
    if let Ok(seen) = outcome {
        assert!(seen.bytes >= 20);
        assert!(seen.dscp < 64);
        assert!(seen.vlan.is_none_or(|vlan| vlan < 4096));
    }
    outcome
}

/// Checks that counting IPv6 changes nothing for other frames.
fn agree_on_ipv6(without: Result<Observation, Skipped>, with: Result<Observation, Skipped>) {
    match without {
        Err(Skipped::InnerIpv6) => {}
        _ => assert_eq!(without, with),
    }
}
