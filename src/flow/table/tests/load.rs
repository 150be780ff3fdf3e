//! Memory and time with many flows.

use super::*;

#[test]
fn memory_and_time_per_packet_stay_flat_over_ten_million_flows() {
    const BATCH: u32 = 100_000;
    let mut table = table(FlowLimits {
        flows: 1000,
        idle_flows: 2000,
        ..IDLE_AFTER_A_MINUTE
    });
    let mut batches = Vec::new();
    for batch in 0..100 {
        let begin = std::time::Instant::now();
        for number in batch * BATCH..(batch + 1) * BATCH {
            let packet = Observation {
                source: number.to_be_bytes().into(),
                ..packet(0)
            };
            // A thousand flows a minute.
            let at = MINUTE * (number / 10) / 100;
            table.see(at, &packet);
            if number % 500 == 0 {
                table.show(at);
            }
        }
        batches.push(begin.elapsed());
        assert!(table.allocated() < 3000 * 128, "{}", table.allocated());
    }
    let occupancy = table.occupancy();
    assert!(occupancy.flows <= 1000, "{occupancy:?}");
    assert_eq!(occupancy.idle, 2000);
    assert!(occupancy.forgotten > 1_000_000, "{occupancy:?}");
    let demand = occupancy.demand as f64;
    // Five times its standard error.
    assert!((demand / 1e7 - 1.0).abs() < 0.03, "{demand}");

    // Medians, because other programs may slow down single batches.
    let (early, late) = batches.split_at_mut(50);
    early.sort_unstable();
    late.sort_unstable();
    assert!(late[25] < early[25] * 3, "{:?}, {:?}", early[25], late[25]);
}

/// With consecutive source addresses, as a scan has them, hashed with the seed of the table.
#[test]
fn the_estimate_of_distinct_flows_is_off_by_less_than_one_per_cent() {
    // Each table has its own seed. Averaging 30 errors divides their random part by more than five.
    const TABLES: u32 = 30;
    for flows in [20_000, 100_000, 150_000_u32] {
        let errors = (0..TABLES).map(|_| {
            let mut table = table(FlowLimits {
                flows: 1,
                ..NO_LIMITS
            });
            for number in 0..flows {
                let source = number.to_be_bytes().into();
                table.see(
                    Duration::ZERO,
                    &Observation {
                        source,
                        ..packet(0)
                    },
                );
            }
            table.occupancy().demand as f64 / f64::from(flows) - 1.0
        });
        let errors: Vec<_> = errors.collect();
        let mean = |of: &dyn Fn(f64) -> f64| {
            errors.iter().map(|&error| of(error)).sum::<f64>() / f64::from(TABLES)
        };
        let (bias, standard_error) = (mean(&|error| error), mean(&|error| error * error).sqrt());
        assert!(bias.abs() < 0.005, "{flows}: {bias}");
        assert!(standard_error < 0.01, "{flows}: {standard_error}");
    }
}

/// `memory::HOLD` assumes 64 bytes for each hold.
#[test]
fn a_hold_takes_at_most_64_bytes() {
    let allocated = |hold| {
        let mut table = table(FlowLimits {
            flows: 1_000_000,
            hold,
            ..NO_LIMITS
        });
        // Just above a power of two (2^19 = 524,288), where the queue has the most spare capacity.
        for number in 0..525_000_u32 {
            let source = number.to_be_bytes().into();
            table.see(
                Duration::ZERO,
                &Observation {
                    source,
                    ..packet(0)
                },
            );
        }
        table.allocated()
    };
    let more = allocated(MINUTE) - allocated(Duration::ZERO);
    assert!((32..=64).contains(&(more / 525_000)), "{more} bytes");
}

#[test]
fn each_of_a_million_flows_takes_less_than_128_bytes() {
    for packet in [packet(0), ipv6_packet(0)] {
        let mut table = table(FlowLimits {
            flows: 1_000_000,
            ..NO_LIMITS
        });
        for number in 0..1_000_000_u32 {
            let [a, b, c, d] = number.to_be_bytes();
            let source = match packet.source.into() {
                IpAddr::V4(_) => [a, b, c, d].into(),
                IpAddr::V6(_) => {
                    IpAddr::V6([a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1].into())
                }
            };
            table.see(
                Duration::ZERO,
                &Observation {
                    source: source.into(),
                    ..packet
                },
            );
        }
        assert_eq!(table.exposed(), 1_000_000);
        let each = table.allocated() / 1_000_000;
        assert!((64..128).contains(&each), "{each} bytes");
    }
}
