//! Learns names from messages of DHCP and DNS.
//!
//! Each message has a byte that chooses its ports, its length in two bytes, and its payload.

#![no_main]

use std::net::IpAddr;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tzsp_packetstream_exporter::names::{Names, Source};

const PORTS: [(u16, u16); 5] = [(53, 40_000), (68, 67), (67, 68), (546, 547), (547, 546)];

fuzz_target!(|bytes: &[u8]| {
    let sources = vec![Source::Dhcp, Source::Dns];
    let names = Names::open(sources).unwrap();
    let mut rest = bytes;
    while let [ports, high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (payload, tail) = tail.split_at(length.min(tail.len()));
        let ports = PORTS[usize::from(*ports) % PORTS.len()];
        assert!(names.protocols().include(ports));
        let lesson = names.protocols().read(ports, payload);
        names.learn(Duration::ZERO, lesson, |address| address.is_loopback());
        rest = tail;
    }

    let table = names.all(Duration::ZERO);
    for (address, name) in table.iter() {
        assert!((1..=253).contains(&name.len()), "{address}: {name:?}");
        assert!(!name.contains(char::is_control), "{address}: {name:?}");
        assert_eq!(table.name_of(address), Some(name));
    }
    let addresses: Vec<IpAddr> = table.iter().map(|(address, _)| address).collect();
    let again = names.of(Duration::ZERO, &addresses);
    for (address, name) in table.iter() {
        assert_eq!(again.name_of(address), Some(name));
    }
    // Two sources may know the same address.
    let known: usize = table.sources.iter().map(|state| state.names).sum();
    assert!((addresses.len()..=2 * addresses.len()).contains(&known));
});
