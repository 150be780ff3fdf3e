//! Idle, forgotten and held flows.

use super::*;

#[test]
fn a_flow_becomes_idle_after_the_timeout_and_a_scrape_and_returns_with_its_count() {
    let mut table = table(IDLE_AFTER_A_MINUTE);
    table.see(seconds(0), &packet(1));
    // Older than the timeout, but no scrape has shown it yet.
    assert_eq!(seen(&mut table, seconds(100)), [(Some(1), 1)]);
    assert_eq!(seen(&mut table, seconds(101)), []);
    assert_eq!((table.exposed(), table.idle()), (0, 1));

    table.see(seconds(200), &packet(1));
    assert_eq!(seen(&mut table, seconds(259)), [(Some(1), 2)]);
    assert_eq!(seen(&mut table, seconds(260)), []);
    assert_eq!(table.occupancy().forgotten, 0);
}

#[test]
fn a_scrape_before_the_last_packet_does_not_count_as_showing_it() {
    let mut table = table(IDLE_AFTER_A_MINUTE);
    table.see(seconds(0), &packet(1));
    assert_eq!(seen(&mut table, seconds(10)), [(Some(1), 1)]);
    table.see(seconds(10), &packet(1));
    // The scrape at 10 s was before this packet.
    assert_eq!(seen(&mut table, seconds(100)), [(Some(1), 2)]);
    assert_eq!(seen(&mut table, seconds(101)), []);
}

#[test]
fn a_flow_stays_exposed_until_a_scrape_with_its_last_value_is_delivered() {
    let mut table = table(FlowLimits {
        idle_timeout: seconds(60),
        ..NO_LIMITS
    });
    table.see(seconds(10), &packet(1));
    let shown = |table: &mut FlowTable, at| table.scrape(seconds(at)).narrow.len();
    assert_eq!(shown(&mut table, 20), 1);
    // The scrape at 20 and the following ones do not reach their clients.
    assert_eq!(shown(&mut table, 100), 1);
    assert_eq!(shown(&mut table, 101), 1);
    // Delivered, but from before the packet.
    table.delivered(seconds(5));
    assert_eq!(shown(&mut table, 102), 1);
    // Scrapes may be delivered in another order than they were made.
    table.delivered(seconds(100));
    table.delivered(seconds(20));
    assert_eq!(shown(&mut table, 103), 0);
}

#[test]
fn without_scrapes_flows_become_idle_unseen() {
    let mut table = table(FlowLimits {
        hide_unseen: true,
        ..IDLE_AFTER_A_MINUTE
    });
    table.see(seconds(0), &packet(1));
    table.see(seconds(50), &packet(2));
    assert_eq!(seen(&mut table, seconds(70)), [(Some(2), 1)]);
}

/// Two files of different days may be read in any order.
#[test]
fn idle_time_does_not_depend_on_the_order_of_packets() {
    let limits = FlowLimits {
        idle_timeout: MINUTE,
        hide_unseen: true,
        ..NO_LIMITS
    };
    // Second and host. The packets of host 3 are before and after those of the other two.
    let packets = [
        (10, 1),
        (86_400, 2),
        (20, 1),
        (5, 3),
        (86_370, 3),
        (86_395, 2),
    ];
    for rotation in 0..packets.len() {
        let mut rotated = packets;
        rotated.rotate_left(rotation);
        for reverse in [false, true] {
            if reverse {
                rotated.reverse();
            }
            let mut table = table(limits);
            for (at, host) in rotated {
                table.see(seconds(at), &packet(host));
            }
            assert!(!table.depends_on_order());
            let shown = seen(&mut table, Duration::ZERO);
            assert_eq!(shown, [(Some(2), 2), (Some(3), 2)], "{rotated:?}");
            assert_eq!(table.occupancy().idle, 1);
        }
    }
}

/// Threads collect packets in batches, so packets are counted a little late.
#[test]
fn a_packet_that_is_counted_after_a_scrape_was_not_shown_by_it() {
    let mut table = table(FlowLimits {
        idle_timeout: MINUTE,
        ..NO_LIMITS
    });
    table.see(seconds(0), &packet(1));
    assert_eq!(seen(&mut table, seconds(10)), [(Some(1), 1)]);
    table.see(seconds(9), &packet(1));
    // No scrape has shown both packets yet.
    assert_eq!(seen(&mut table, seconds(80)), [(Some(1), 2)]);
    assert_eq!(seen(&mut table, seconds(81)), []);
}

#[test]
fn a_full_table_makes_room_between_scrapes() {
    let mut table = table(FlowLimits {
        flows: 2,
        ..IDLE_AFTER_A_MINUTE
    });
    table.see(seconds(0), &packet(1));
    table.see(seconds(0), &ipv6_packet(2));
    table.show(seconds(1));
    table.see(seconds(59), &packet(3));
    table.see(seconds(60), &packet(3));
    table.see(seconds(60), &packet(4));
    // Host 3 got no slot until 1 and 2 had been idle for a minute.
    let expected = [(Some(3), 1), (Some(4), 1), (None, 1)];
    assert_eq!(seen(&mut table, seconds(60)), expected);
    // An idle flow gets no slot either, and its count is still kept.
    table.see(seconds(61), &packet(1));
    assert_eq!(table.idle(), 2);
    assert_eq!(table.occupancy().overflow_packets, 2);
}

#[test]
fn the_longest_idle_flows_are_forgotten_first() {
    let mut table = table(FlowLimits {
        idle_flows: 2,
        ..IDLE_AFTER_A_MINUTE
    });
    // Host 3 is idle for longest, then 1, 4 and 2. All become idle in one scrape. Host 2 has the
    // first slot.
    table.see(seconds(0), &packet(2));
    table.see(seconds(1), &packet(3));
    table.see(seconds(2), &ipv6_packet(1));
    table.see(seconds(3), &packet(4));
    table.see(seconds(4), &packet(2));
    table.show(seconds(5));
    table.show(seconds(100));
    assert_eq!((table.idle(), table.occupancy().forgotten), (2, 2));
    for packet in [packet(3), ipv6_packet(1), packet(4), packet(2)] {
        table.see(seconds(100), &packet);
    }
    let expected = [(Some(1), 1), (Some(2), 3), (Some(3), 1), (Some(4), 2)];
    assert_eq!(seen(&mut table, seconds(100)), expected);
}

#[test]
fn a_held_flow_shows_its_true_value_after_the_hold_however_many_scrapes_there_were() {
    for scrapes in [&[][..], &[0, 5, 14], &[14]] {
        let mut table = table(FlowLimits {
            hold: seconds(15),
            ..NO_LIMITS
        });
        table.see(seconds(0), &packet(1));
        table.see(seconds(3), &packet(2));
        for &at in scrapes {
            table.see(seconds(at), &packet(1));
            let shown: u64 = seen(&mut table, seconds(at))
                .iter()
                .map(|(_, packets)| packets)
                .sum();
            assert_eq!(shown, 0);
        }
        let packets = 1 + scrapes.len() as u64;
        let expected = [(Some(1), packets), (Some(2), 0)];
        assert_eq!(seen(&mut table, seconds(15)), expected);
        table.see(seconds(16), &packet(2));
        let expected = [(Some(1), packets), (Some(2), 2)];
        assert_eq!(seen(&mut table, seconds(18)), expected);
    }
}

#[test]
fn a_returning_flow_shows_its_old_value_while_it_is_held() {
    let mut table = table(FlowLimits {
        hold: seconds(15),
        ..IDLE_AFTER_A_MINUTE
    });
    table.see(seconds(0), &packet(1));
    // Shown as 0, which is not its last value.
    assert_eq!(seen(&mut table, seconds(10)), [(Some(1), 0)]);
    assert_eq!(seen(&mut table, seconds(100)), [(Some(1), 1)]);
    assert_eq!(seen(&mut table, seconds(101)), []);
    table.see(seconds(200), &packet(1));
    assert_eq!(seen(&mut table, seconds(214)), [(Some(1), 1)]);
    assert_eq!(seen(&mut table, seconds(215)), [(Some(1), 2)]);
}

#[test]
fn a_new_overflow_series_is_held_like_a_flow() {
    let mut table = table(FlowLimits {
        flows: 0,
        hold: seconds(15),
        ..NO_LIMITS
    });
    table.see(seconds(1), &packet(1));
    assert_eq!(seen(&mut table, seconds(15)), [(None, 0)]);
    assert_eq!(seen(&mut table, seconds(16)), [(None, 1)]);
}
