//! Opens a database of countries and network operators, and looks addresses up in it.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use tzsp_packetstream_exporter::geo::Databases;

fuzz_target!(|bytes: &[u8]| {
    let Ok(databases) = Databases::from_bytes(bytes.to_vec()) else {
        return;
    };
    assert!(databases.have_countries() || databases.have_operators());
    // 64 addresses of each kind, spread over all.
    for step in 0..64_u8 {
        let spread = step.wrapping_mul(4);
        let ipv4 = Ipv4Addr::new(spread, step, spread, step);
        let ipv6 = Ipv6Addr::from([spread | 0x20; 16]);
        for address in [
            IpAddr::from(ipv4),
            ipv6.into(),
            ipv4.to_ipv6_compatible().into(),
        ] {
            if let Some(country) = databases.country(address) {
                assert!(
                    country
                        .as_str()
                        .bytes()
                        .all(|byte| byte.is_ascii_uppercase())
                );
            }
            if let Some(operator) = databases.operator(address) {
                let text = operator.as_str();
                assert!(text.starts_with("AS") && text.len() <= 64, "{text:?}");
                assert!(!text.contains(char::is_control), "{text:?}");
            }
        }
    }
});
