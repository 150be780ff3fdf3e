//! Warnings about the stream as a whole. Nothing is logged per packet.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, interval};
use tracing::warn;

use super::exporter::Exporter;
use crate::report::units::share;
use crate::report::{Explanation, Unusual};

/// How often the counters are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How often a warning is repeated while its cause persists.
const REPEAT: Duration = Duration::from_mins(1);

/// Checks the counters for ever and logs warnings.
pub(super) async fn warn(exporter: Arc<Exporter>) {
    let mut checks = interval(CHECK_INTERVAL);
    let mut own_stream = OwnStream::default();
    let mut limit_was_reached = false;
    let mut warned_reasons = Vec::new();
    loop {
        let now = checks.tick().await;
        let (frames, occupancy) = {
            let state = exporter.lock();
            let aggregator = &state.aggregator;
            (aggregator.frames().clone(), aggregator.flows().occupancy())
        };
        let recent = exporter.checkpoint(&frames);
        for (reason, skipped) in Unusual::of(&recent).reasons {
            if !warned_reasons.contains(&reason) {
                warned_reasons.push(reason);
                let Explanation { meaning, remedy } = Explanation::of(reason);
                warn!(
                    "{} of the frames of the last minute are skipped as {}: {meaning}. Remedy: {}",
                    share(skipped, recent.received),
                    reason.label(),
                    remedy.unwrap_or_default()
                );
            }
        }
        if own_stream.should_warn(frames.self_captured, now)
            && let Some(sensor) = frames.self_capturing_sensor
        {
            warn!(
                "the sensor {sensor} mirrors its own stream: {} packets so far. Exclude this \
                 collector in RouterOS: /tool sniffer set filter-stream=yes, and in a mangle rule \
                 dst-address=!COLLECTOR",
                frames.self_captured
            );
        }
        if occupancy.overflow_packets > 0 && !limit_was_reached {
            limit_was_reached = true;
            warn!(
                "the limit of {} flows was reached: packets of more flows are counted as `other`; \
                 tzsp_flows_demand shows which --max-flows is needed",
                occupancy.limit
            );
        }
    }
}

/// Rate limit for warnings that a sensor mirrors its own stream.
#[derive(Default)]
struct OwnStream {
    /// The number of its packets at the last warning.
    packets: u64,
    warned: Option<Instant>,
}

impl OwnStream {
    /// Returns whether to warn now that `packets` were seen so far, and if so, records the warning.
    fn should_warn(&mut self, packets: u64, now: Instant) -> bool {
        let is_recent = self
            .warned
            .is_some_and(|warned| now.duration_since(warned) < REPEAT);
        if packets <= self.packets || is_recent {
            return false;
        }
        self.packets = packets;
        self.warned = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirrored_own_stream_is_warned_of_once_a_minute_while_it_goes_on() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut own_stream = OwnStream::default();
        assert!(!own_stream.should_warn(0, at(0)));
        assert!(own_stream.should_warn(1, at(1)));
        assert!(!own_stream.should_warn(100, at(60)));
        assert!(own_stream.should_warn(200, at(61)));
        assert!(!own_stream.should_warn(200, at(1000)));
        assert!(own_stream.should_warn(201, at(1001)));
    }
}
