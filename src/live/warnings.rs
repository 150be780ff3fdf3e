//! What is wrong with the stream as a whole, said now and then: nothing is logged per packet.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, interval};
use tracing::warn;

use super::exporter::Exporter;
use crate::report::units::share;
use crate::report::{Explanation, Unusual};

/// How often it is looked whether there is something to say.
const LOOK: Duration = Duration::from_secs(1);
/// How often the same is said again, while it goes on.
const REPEAT: Duration = Duration::from_mins(1);

/// Looks after the exporter for ever.
pub(super) async fn warn(exporter: Arc<Exporter>) {
    let mut looks = interval(LOOK);
    let mut own_stream = OwnStream::default();
    let mut limit_was_reached = false;
    let mut reasons_said = Vec::new();
    loop {
        let now = looks.tick().await;
        let (frames, occupancy) = {
            let state = exporter.lock();
            let aggregator = &state.aggregator;
            (aggregator.frames().clone(), aggregator.flows().occupancy())
        };
        let recent = exporter.checkpoint(&frames);
        for (reason, skipped) in Unusual::of(&recent).reasons {
            if !reasons_said.contains(&reason) {
                reasons_said.push(reason);
                let Explanation { meaning, remedy } = Explanation::of(reason);
                warn!(
                    "{} of the frames of the last minute are skipped as {}: {meaning}. Remedy: {}",
                    share(skipped, recent.received),
                    reason.label(),
                    remedy.unwrap_or_default()
                );
            }
        }
        if own_stream.is_news(frames.self_captured, now)
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
                 tzsp_flows_demand tells what --max-flows would hold them",
                occupancy.limit
            );
        }
    }
}

/// Whether the sensors' own stream is worth a word.
#[derive(Default)]
struct OwnStream {
    packets: u64,
    said: Option<Instant>,
}

impl OwnStream {
    fn is_news(&mut self, packets: u64, now: Instant) -> bool {
        let is_news = packets > self.packets
            && self
                .said
                .is_none_or(|said| now.duration_since(said) >= REPEAT);
        if is_news {
            self.packets = packets;
            self.said = Some(now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_stream_is_worth_a_word_a_minute_while_it_goes_on() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut own_stream = OwnStream::default();
        assert!(!own_stream.is_news(0, at(0)));
        assert!(own_stream.is_news(1, at(1)));
        assert!(!own_stream.is_news(100, at(60)));
        assert!(own_stream.is_news(200, at(61)));
        assert!(!own_stream.is_news(200, at(1000)));
        assert!(own_stream.is_news(201, at(1001)));
    }
}
