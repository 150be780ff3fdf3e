//! Frames by sensor and listen port.
//!
//! A sender can forge its source address, so the number of sensors with a slot of their own is
//! limited. A sensor is never evicted: one that stopped sending must stay visible, because that is
//! what alerts look for.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use foldhash::quality::RandomState;

use crate::wire::Ip;

/// The frames of one batch by sensor, as runs of frames from the same sensor.
///
/// Nearly always, the next frame comes from the same sensor, so adding it is a comparison and an
/// addition, without a look-up.
#[derive(Debug, Default)]
pub struct SensorRuns {
    current: Run,
    ended: Vec<Run>,
}

/// Consecutive frames from one sensor to one listen port.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    sensor: Ip,
    listen_port: u16,
    frames: u64,
    /// When the first and the last of them arrived, since the Unix epoch.
    oldest: Duration,
    newest: Duration,
}

/// Counts frames by sensor, and notes the newest frame of each listen port.
#[derive(Debug, Default)]
pub struct Sensors {
    limit: usize,
    /// Senders choose the keys. The seed keeps them from preparing keys that collide.
    slots: HashMap<(u16, IpAddr), Arrivals, RandomState>,
    /// The sensors beyond the limit, in one sum for each listen port.
    other: BTreeMap<u16, Arrivals>,
    /// The arrival of the newest frame at each listen port; `None` before the first.
    listen_ports: BTreeMap<u16, Option<Duration>>,
}

/// The frames that arrived from one sensor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrivals {
    pub frames: u64,
    /// When the first frame arrived, since the Unix epoch.
    pub first: Duration,
    /// When the newest frame arrived, since the Unix epoch. Goes back when the clock is set back:
    /// otherwise it would stand still until the clock has caught up, like that of a sensor that
    /// stopped sending.
    pub newest: Duration,
}

/// The sensors as a scrape sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SensorSnapshot {
    /// Sorted by listen port and address. The sums of sensors beyond the limit are last.
    pub sensors: Vec<Sensor>,
    /// The arrival of the newest frame at each listen port; `None` before the first.
    pub listen_ports: Vec<(u16, Option<Duration>)>,
}

/// One sensor and the frames that it sent to one listen port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sensor {
    /// `None`: the sum of all sensors beyond the limit.
    pub address: Option<IpAddr>,
    pub listen_port: u16,
    pub arrivals: Arrivals,
}

impl SensorRuns {
    /// The maximum number of runs in a batch. Bounds memory, and the time under the lock, when
    /// every frame comes from another sensor.
    const MOST: usize = 256;

    /// Adds a frame that arrived at `at`, since the Unix epoch.
    #[inline]
    pub fn push(&mut self, sensor: Ip, listen_port: u16, at: Duration) {
        if self.current.sensor != sensor || self.current.listen_port != listen_port {
            self.begin(sensor, listen_port, at);
        }
        self.current.frames += 1;
        self.current.newest = at;
    }

    #[inline(never)]
    fn begin(&mut self, sensor: Ip, listen_port: u16, at: Duration) {
        if self.current.frames > 0 {
            self.ended.push(self.current);
        }
        self.current = Run {
            sensor,
            listen_port,
            oldest: at,
            ..Run::default()
        };
    }

    /// Whether the runs should be counted now.
    #[must_use]
    #[inline]
    pub fn is_full(&self) -> bool {
        self.ended.len() >= Self::MOST
    }
}

impl Sensors {
    /// Creates an account for at most `limit` sensors. A sensor that sends to two ports counts as
    /// two.
    #[must_use]
    pub fn new(listen_ports: &[u16], limit: u32) -> Self {
        Self {
            limit: limit as usize,
            listen_ports: listen_ports.iter().map(|&port| (port, None)).collect(),
            ..Self::default()
        }
    }

    /// Counts the runs of a batch, and empties it.
    pub fn record(&mut self, runs: &mut SensorRuns) {
        for run in &runs.ended {
            self.add(run);
        }
        runs.ended.clear();
        if runs.current.frames > 0 {
            self.add(&runs.current);
            runs.current.frames = 0;
        }
    }

    fn add(&mut self, run: &Run) {
        self.listen_ports.insert(run.listen_port, Some(run.newest));
        let key = (run.listen_port, run.sensor.into());
        let is_full = self.slots.len() >= self.limit;
        let arrivals = match self.slots.get_mut(&key) {
            Some(arrivals) => arrivals,
            None if is_full => self.other.entry(run.listen_port).or_default(),
            None => self.slots.entry(key).or_default(),
        };
        if arrivals.frames == 0 {
            arrivals.first = run.oldest;
        }
        arrivals.frames += run.frames;
        arrivals.newest = run.newest;
    }

    /// Returns all sensors with their frames so far.
    #[must_use]
    pub fn snapshot(&self) -> SensorSnapshot {
        let slots = self
            .slots
            .iter()
            .map(|(&(listen_port, address), &arrivals)| Sensor {
                address: Some(address),
                listen_port,
                arrivals,
            });
        let mut sensors: Vec<_> = slots.collect();
        sensors.sort_unstable_by_key(|sensor| (sensor.listen_port, sensor.address));
        let other = self.other.iter().map(|(&listen_port, &arrivals)| Sensor {
            address: None,
            listen_port,
            arrivals,
        });
        sensors.extend(other);
        SensorSnapshot {
            sensors,
            listen_ports: self
                .listen_ports
                .iter()
                .map(|(&port, &at)| (port, at))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    fn sensor(number: u8) -> Ip {
        [192, 0, 2, number].into()
    }

    /// Counts frames, each given by sensor, port and second, with one batch for each inner list.
    fn recorded(limit: u32, batches: &[&[(u8, u16, u64)]]) -> SensorSnapshot {
        let mut sensors = Sensors::new(&[1, 2], limit);
        let mut runs = SensorRuns::default();
        for batch in batches {
            for &(number, port, second) in *batch {
                runs.push(sensor(number), port, Duration::from_secs(second));
            }
            sensors.record(&mut runs);
        }
        sensors.snapshot()
    }

    /// `expected` has lines `address port frames first newest`, and then `port newest`.
    #[track_caller]
    fn check(snapshot: &SensorSnapshot, expected: &[&str]) {
        let sensors = snapshot.sensors.iter().map(|sensor| {
            let address = sensor
                .address
                .map_or("other".to_owned(), |at| at.to_string());
            let Arrivals {
                frames,
                first,
                newest,
            } = sensor.arrivals;
            format!(
                "{address} {} {frames} {} {}",
                sensor.listen_port,
                first.as_secs(),
                newest.as_secs()
            )
        });
        let ports = snapshot.listen_ports.iter().map(|(port, at)| {
            let at = at.map_or("never".to_owned(), |at| at.as_secs().to_string());
            format!("{port} {at}")
        });
        let found: Vec<_> = sensors.chain(ports).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn before_the_first_frame_only_listen_ports_are_listed() {
        check(&recorded(10, &[]), &["1 never", "2 never"]);
        check(&recorded(10, &[&[], &[]]), &["1 never", "2 never"]);
    }

    #[test]
    fn frames_count_for_their_sensor_and_port() {
        let batches: [&[_]; 3] = [
            &[(7, 1, 10), (7, 1, 11), (8, 1, 12), (7, 1, 13)],
            &[(7, 1, 14), (7, 2, 15)],
            // The clock was set back.
            &[(8, 1, 3)],
        ];
        check(
            &recorded(10, &batches),
            &[
                "192.0.2.7 1 4 10 14",
                "192.0.2.8 1 2 12 3",
                "192.0.2.7 2 1 15 15",
                "1 3",
                "2 15",
            ],
        );
    }

    #[test]
    fn sensors_beyond_the_limit_count_in_one_sum_for_each_port() {
        let batches: [&[_]; 2] = [
            &[(1, 1, 10), (2, 1, 11), (3, 1, 12), (3, 2, 13)],
            &[(4, 1, 14), (1, 1, 15), (2, 1, 16)],
        ];
        check(
            &recorded(2, &batches),
            &[
                "192.0.2.1 1 2 10 15",
                "192.0.2.2 1 2 11 16",
                "other 1 2 12 14",
                "other 2 1 13 13",
                "1 16",
                "2 13",
            ],
        );
    }

    #[test]
    fn a_flood_of_forged_sensors_does_not_grow_memory() {
        let mut sensors = Sensors::new(&[1], 100);
        let mut runs = SensorRuns::default();
        for number in 0..100_000 {
            let address = Ipv6Addr::from_bits(number).into();
            runs.push(address, 1, Duration::from_secs(1));
            if runs.is_full() {
                sensors.record(&mut runs);
            }
        }
        sensors.record(&mut runs);
        assert!(runs.ended.capacity() <= 2 * SensorRuns::MOST);
        assert!(sensors.slots.capacity() < 300);
        let snapshot = sensors.snapshot();
        assert_eq!(snapshot.sensors.len(), 101);
        let frames = snapshot.sensors.iter().map(|sensor| sensor.arrivals.frames);
        assert_eq!(frames.sum::<u64>(), 100_000);
        assert_eq!(snapshot.sensors[100].arrivals.frames, 99_900);
    }
}
