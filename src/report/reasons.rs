//! Why frames are skipped, in words: one table for the landing page, the log, the survey of
//! `analyze` and the README.

use crate::aggregator::FrameCounts;
use crate::wire::{Skipped, Truncated};

/// The meaning of a reason, and its remedy. Both are Markdown, without a final period.
#[derive(Debug, Clone, Copy)]
pub struct Explanation {
    pub meaning: &'static str,
    /// What to do if many frames are skipped for this reason. `None` for an ordinary reason:
    /// healthy streams have such frames too.
    pub remedy: Option<&'static str>,
}

impl Explanation {
    /// Returns the explanation of a reason.
    #[must_use]
    pub fn of(reason: Skipped) -> Self {
        let (meaning, remedy) = explained(reason);
        Self { meaning, remedy }
    }
}

/// Returns the reasons for which frames were skipped, and how many for each.
pub(crate) fn skipped(frames: &FrameCounts) -> impl Iterator<Item = (Skipped, u64)> {
    let reasons = Skipped::ALL.map(|reason| (reason, frames.skipped(reason)));
    reasons.into_iter().filter(|&(_, frames)| frames > 0)
}

/// Returns the causes for which inner packets were truncated, and how many packets for each.
pub(crate) fn truncated(frames: &FrameCounts) -> impl Iterator<Item = (Truncated, u64)> {
    let causes = Truncated::ALL.map(|cause| (cause, frames.truncated(cause)));
    causes.into_iter().filter(|&(_, packets)| packets > 0)
}

const MIRROR_BEHIND_ACCESS_POINT: Option<&str> =
    Some("mirror the bridge or the Ethernet interface behind the access point instead");

fn explained(reason: Skipped) -> (&'static str, Option<&'static str>) {
    match reason {
        Skipped::UnsupportedLink => (
            "a link type that cannot carry the stream, or is not decoded",
            Some("capture on an Ethernet interface, or on `any`"),
        ),
        Skipped::OuterMalformed => (
            "the frame ends, or contradicts itself, before the end of the UDP header",
            Some("look for what cuts or damages frames on their way; capture at least 96 bytes"),
        ),
        Skipped::NotIp => ("neither IPv4 nor IPv6", None),
        Skipped::NotUdp => ("IP without UDP", None),
        Skipped::LaterFragment => (
            "a fragment other than the first; the first was counted for all",
            None,
        ),
        Skipped::OtherPort => (
            "UDP to a port that is not listened to; with `--listen-port`, also TZSP without UDP",
            None,
        ),
        Skipped::NotTzsp => (
            "an empty datagram, or one that is not TZSP version 1",
            Some("find out who sends it, and let only the routers send to this port"),
        ),
        Skipped::TzspKeepalive => (
            "TZSP type 4 (keepalive) or 5 (port opener): nothing inside",
            None,
        ),
        Skipped::TzspUnsupportedType => (
            "a TZSP type other than 0, 1, 4 and 5",
            Some("let the sensor send packets that it received or transmitted, types 0 and 1"),
        ),
        Skipped::TzspUnsupportedEncapsulation => (
            "an encapsulation other than Ethernet, raw IP and 802.11, such as token ring",
            Some("let the sensor send Ethernet frames, or 802.11"),
        ),
        Skipped::TzspMalformed => (
            "no end tag, or a tag that reaches past the end",
            Some("look for what cuts or damages datagrams on their way, and who sends them"),
        ),
        Skipped::TzspFcsError => (
            "the sensor says that it received the 802.11 frame with a wrong check sequence (tag 17)",
            None,
        ),
        Skipped::InnerMalformed => (
            "the mirrored frame ends, or contradicts itself, before the end of the IP header",
            Some("let the sensor send at least 100 bytes of each frame"),
        ),
        Skipped::InnerWlanNoData => (
            "802.11 management and control, and data frames without data (null function)",
            None,
        ),
        Skipped::InnerWlanEncrypted => {
            ("an encrypted 802.11 data frame", MIRROR_BEHIND_ACCESS_POINT)
        }
        Skipped::InnerWlanLaterFragment => (
            "an 802.11 fragment other than the first; the first was counted for all",
            None,
        ),
        Skipped::InnerWlanAggregate => (
            "several 802.11 frames in one (A-MSDU)",
            MIRROR_BEHIND_ACCESS_POINT,
        ),
        Skipped::InnerNotIp => (
            "a mirrored frame without IP, such as ARP or LLC without SNAP",
            None,
        ),
        Skipped::InnerIpv6 => (
            "a mirrored IPv6 packet, without `--ipv6`",
            Some("count IPv6 too: start with `--ipv6`"),
        ),
    }
}

/// A stream with a larger share of frames that are skipped for reasons with a remedy is unhealthy.
const UNHEALTHY_PERCENT: u64 = 5;
/// Reasons with a larger share of the frames may be named.
const NAMED_PERCENT: u64 = 1;

/// Frames that were skipped for reasons with a remedy, in a period of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unusual {
    /// How many there are.
    pub frames: u64,
    /// Whether they are more than 5 % of the frames received.
    pub is_unhealthy: bool,
    /// The reasons to warn about, with their frames, the most frequent first. IPv6 is one if it is
    /// more than 1 % of the frames received. While the stream is unhealthy, all others above 1 % are
    /// too, and the most frequent one.
    pub reasons: Vec<(Skipped, u64)>,
}

impl Unusual {
    /// Returns the unusual frames among `frames`, which were counted in a period of time.
    #[must_use]
    pub fn of(frames: &FrameCounts) -> Self {
        let exceeds = |part: u64, percent: u64| {
            u128::from(part) * 100 > u128::from(frames.received) * u128::from(percent)
        };
        let mut reasons: Vec<_> = skipped(frames)
            .filter(|&(reason, _)| Explanation::of(reason).remedy.is_some())
            .collect();
        reasons.sort_by_key(|&(_, skipped)| std::cmp::Reverse(skipped));
        let sum = reasons.iter().map(|&(_, skipped)| skipped).sum();
        let is_unhealthy = exceeds(sum, UNHEALTHY_PERCENT);
        let most_frequent = reasons.first().copied();
        reasons.retain(|&(reason, skipped)| {
            let is_named = is_unhealthy || reason == Skipped::InnerIpv6;
            let is_first = is_unhealthy && most_frequent == Some((reason, skipped));
            is_first || is_named && exceeds(skipped, NAMED_PERCENT)
        });
        Self {
            frames: sum,
            is_unhealthy,
            reasons,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(received: u64, skipped: &[(Skipped, u64)], is_unhealthy: bool, named: &[Skipped]) {
        let mut frames = FrameCounts::default();
        frames.received = received;
        for &(reason, count) in skipped {
            frames.skipped_by(reason, count);
        }
        let unusual = Unusual::of(&frames);
        let reasons: Vec<_> = unusual.reasons.iter().map(|(reason, _)| *reason).collect();
        assert_eq!((unusual.is_unhealthy, &reasons[..]), (is_unhealthy, named));
    }

    #[test]
    fn ipv6_is_named_above_1_percent_and_unhealthy_above_5_percent() {
        use Skipped::InnerIpv6;
        check(0, &[], false, &[]);
        check(1000, &[(InnerIpv6, 10)], false, &[]);
        check(1000, &[(InnerIpv6, 11)], false, &[InnerIpv6]);
        check(1000, &[(InnerIpv6, 50)], false, &[InnerIpv6]);
        check(1000, &[(InnerIpv6, 51)], true, &[InnerIpv6]);
    }

    #[test]
    fn frames_of_all_reasons_with_a_remedy_add_up() {
        use Skipped::{InnerIpv6, InnerMalformed, InnerNotIp, NotTzsp, TzspKeepalive};
        check(1000, &[(InnerNotIp, 900), (TzspKeepalive, 100)], false, &[]);
        check(1000, &[(NotTzsp, 50)], false, &[]);
        check(1000, &[(NotTzsp, 51)], true, &[NotTzsp]);
        let three = [(NotTzsp, 11), (InnerIpv6, 30), (InnerMalformed, 10)];
        check(1000, &three, true, &[InnerIpv6, NotTzsp]);
        check(1000, &three[..2], false, &[InnerIpv6]);
    }
}
