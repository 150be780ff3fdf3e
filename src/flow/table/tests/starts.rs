//! The starts of counters.

use super::*;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Scrapes, and checks the packets and the start of each flow, in milliseconds, by the last octet of
/// its source.
#[track_caller]
fn check(table: &mut FlowTable, at: Duration, expected: &[(u8, u64, u64)]) {
    let snapshot = table.show(at);
    let narrow = snapshot.narrow.iter().map(|flow| {
        let host = flow.key.source.octets()[3];
        (host, flow.counters.packets, flow.start.millis())
    });
    let wide = snapshot.wide.iter().map(|flow| {
        let IpAddr::V6(source) = flow.key.source else {
            panic!("{flow:?} is narrow");
        };
        let host = source.octets()[15];
        (host, flow.counters.packets, flow.start.millis())
    });
    let mut all: Vec<_> = narrow.chain(wide).collect();
    all.sort_unstable();
    assert_eq!(all, expected);
}

#[test]
fn a_flow_starts_with_its_first_packet() {
    let mut table = table(NO_LIMITS);
    table.see(Duration::from_micros(1_234_567), &packet(1));
    table.see(millis(2000), &packet(1));
    table.see(millis(3000), &ipv6_packet(2));
    check(&mut table, millis(4000), &[(1, 2, 1234), (2, 1, 3000)]);
    table.see(millis(5000), &packet(1));
    table.see(millis(5000), &ipv6_packet(2));
    check(&mut table, millis(6000), &[(1, 3, 1234), (2, 2, 3000)]);
}

#[test]
fn a_start_has_room_for_34_years() {
    let mut table = table(NO_LIMITS);
    let at = millis(0x00fe_dcba_9876);
    table.see(at, &packet(1));
    table.see(at, &ipv6_packet(2));
    let start = 0x00fe_dcba_9876;
    check(&mut table, at, &[(1, 1, start), (2, 1, start)]);
}

#[test]
fn an_idle_flow_returns_with_its_old_count_and_start() {
    for packet in [packet(1), ipv6_packet(1)] {
        let mut table = table(IDLE_AFTER_A_MINUTE);
        table.see(millis(1000), &packet);
        check(&mut table, millis(2000), &[(1, 1, 1000)]);
        check(&mut table, millis(62_000), &[]);
        table.see(millis(100_000), &packet);
        check(&mut table, millis(101_000), &[(1, 2, 1000)]);
    }
}

#[test]
fn a_forgotten_flow_starts_anew_and_so_does_another_one_in_its_slot() {
    for packets in [[packet(1), packet(2)], [ipv6_packet(1), ipv6_packet(2)]] {
        let mut table = table(FlowLimits {
            idle_flows: 0,
            ..IDLE_AFTER_A_MINUTE
        });
        table.see(millis(1000), &packets[0]);
        check(&mut table, millis(2000), &[(1, 1, 1000)]);
        check(&mut table, millis(62_000), &[]);
        table.see(millis(70_000), &packets[1]);
        table.see(millis(80_000), &packets[0]);
        let expected = [(1, 1, 80_000), (2, 1, 70_000)];
        check(&mut table, millis(81_000), &expected);
    }
}

/// Prometheus must not place the 0 of the new series before the last sample of the old one.
#[test]
fn a_packet_from_before_the_last_scrape_starts_its_flow_at_that_scrape() {
    let mut table = table(NO_LIMITS);
    check(&mut table, millis(2000), &[]);
    table.see(millis(1990), &packet(1));
    check(&mut table, millis(3000), &[(1, 1, 2000)]);
}

#[test]
fn a_held_flow_starts_with_its_first_packet_too() {
    let mut table = table(FlowLimits {
        hold: seconds(15),
        ..IDLE_AFTER_A_MINUTE
    });
    table.see(millis(1000), &packet(1));
    table.see(millis(2000), &packet(1));
    check(&mut table, millis(3000), &[(1, 0, 1000)]);
    check(&mut table, millis(18_000), &[(1, 2, 1000)]);
    // It becomes idle, and is held with its old count when it returns.
    check(&mut table, millis(80_000), &[]);
    table.see(millis(90_000), &packet(1));
    check(&mut table, millis(91_000), &[(1, 2, 1000)]);
    check(&mut table, millis(106_000), &[(1, 3, 1000)]);
}

#[test]
fn sums_start_with_their_first_packet() {
    let mut table = table(FlowLimits {
        flows: 1,
        ..NO_LIMITS
    });
    table.see(millis(1000), &packet(1));
    table.see(millis(2000), &packet(2));
    table.see(millis(3000), &packet(3));
    let udp = Observation {
        protocol: etherparse::IpNumber::UDP,
        ..packet(1)
    };
    table.see(millis(4000), &udp);
    let snapshot = table.show(millis(5000));
    let starts = |sums: &mut dyn Iterator<Item = (u64, u64)>| {
        let mut starts: Vec<_> = sums.collect();
        starts.sort_unstable();
        starts
    };
    let mut overflow = snapshot
        .overflow
        .iter()
        .map(|sum| (sum.start.millis(), sum.counters.packets));
    assert_eq!(starts(&mut overflow), [(2000, 2), (4000, 1)]);
    let mut traffic = snapshot
        .traffic
        .iter()
        .map(|sum| (sum.start.millis(), sum.counters.packets));
    assert_eq!(starts(&mut traffic), [(1000, 3), (4000, 1)]);
}

/// Checks the packets and the start of each series of a host, in milliseconds, by the last octet of
/// its address; `None` for the hosts beyond the limit.
#[track_caller]
fn check_hosts(table: &mut FlowTable, at: Duration, expected: &[(Option<u8>, u64, u64)]) {
    let hosts = table.show(at).hosts.into_iter().map(|host| {
        let last = host.key.host.map(|host| match host {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[15],
        });
        (last, host.counters.packets, host.start.millis())
    });
    let mut hosts: Vec<_> = hosts.collect();
    hosts.sort_unstable();
    assert_eq!(hosts, expected);
}

#[test]
fn a_host_starts_with_its_first_packet_and_anew_after_it_lost_its_slot() {
    let mut table = table(FlowLimits {
        hosts: 1,
        ..IDLE_AFTER_A_MINUTE
    });
    table.see(millis(1000), &packet(1));
    table.see(millis(2000), &packet(2));
    let expected = [(None, 1, 2000), (Some(1), 1, 1000)];
    check_hosts(&mut table, millis(3000), &expected);
    // 10.0.0.1 is hidden, and returns with its old count.
    check_hosts(&mut table, millis(70_000), &[(None, 1, 2000)]);
    table.see(millis(71_000), &packet(1));
    let expected = [(None, 1, 2000), (Some(1), 2, 1000)];
    check_hosts(&mut table, millis(72_000), &expected);
    // It is hidden again, and 10.0.0.3 takes its slot.
    check_hosts(&mut table, millis(140_000), &[(None, 1, 2000)]);
    table.see(millis(141_000), &packet(3));
    let expected = [(None, 1, 2000), (Some(3), 1, 141_000)];
    check_hosts(&mut table, millis(142_000), &expected);
}

#[test]
fn a_series_of_a_held_host_starts_with_its_first_packet_too() {
    let mut table = table(FlowLimits {
        hold: seconds(15),
        ..NO_LIMITS
    });
    table.see(millis(1000), &packet(1));
    check_hosts(&mut table, millis(3000), &[(Some(1), 0, 1000)]);
    check_hosts(&mut table, millis(18_000), &[(Some(1), 1, 1000)]);
}
