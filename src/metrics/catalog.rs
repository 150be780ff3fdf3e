//! Every metric's name, type, labels and help text.

/// A metric family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
}

impl Kind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

pub(super) const FLOW_LABELS: &[&str] = &[
    "from",
    "from_type",
    "to",
    "to_type",
    "protocol",
    "listen_port",
];

pub(super) const OBSERVED_BYTES: Family = Family {
    name: "tzsp_observed_bytes_total",
    kind: Kind::Counter,
    labels: FLOW_LABELS,
    help: "Bytes of mirrored IPv4 packets, headers included.",
};

pub(super) const OBSERVED_PACKETS: Family = Family {
    name: "tzsp_observed_packets_total",
    kind: Kind::Counter,
    labels: FLOW_LABELS,
    help: "Mirrored IPv4 packets.",
};

pub(super) const CAPTURE_ITERATIONS: Family = Family {
    name: "tzsp_capture_iterations_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Times a capture was started.",
};

pub(super) const DATA_LOST_SECONDS: Family = Family {
    name: "tzsp_data_lost_between_iterations_seconds_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Time without a running capture since the first one started.",
};

pub(super) const FRAMES_RECEIVED: Family = Family {
    name: "tzsp_frames_received_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Frames or datagrams that the capture handed over.",
};

pub(super) const FRAMES_SKIPPED: Family = Family {
    name: "tzsp_frames_skipped_total",
    kind: Kind::Counter,
    labels: &["reason"],
    help: "Frames that count in no flow, by the first reason found.",
};

pub(super) const FRAMES_TRUNCATED: Family = Family {
    name: "tzsp_frames_truncated_total",
    kind: Kind::Counter,
    labels: &["cause"],
    help: "Frames counted in a flow although their inner packet was not there whole.",
};

pub(super) const CAPTURE_DROPPED: Family = Family {
    name: "tzsp_capture_dropped_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Frames that the kernel or the capture says it dropped.",
};

pub(super) const CAPTURE_UP: Family = Family {
    name: "tzsp_capture_up",
    kind: Kind::Gauge,
    labels: &[],
    help: "1 while a capture runs, 0 otherwise.",
};

pub(super) const CAPTURE_LAST_FRAME: Family = Family {
    name: "tzsp_capture_last_frame_timestamp_seconds",
    kind: Kind::Gauge,
    labels: &[],
    help: "When the newest frame arrived, in seconds since the Unix epoch; 0 before the first.",
};

pub(super) const FLOWS: Family = Family {
    name: "tzsp_flows",
    kind: Kind::Gauge,
    labels: &[],
    help: "Flows exposed now.",
};

pub(super) const BUILD_INFO: Family = Family {
    name: "tzsp_exporter_build_info",
    kind: Kind::Gauge,
    labels: &["version", "revision", "rustversion"],
    help: "Always 1; the labels say what is running.",
};

/// All of them, in the order of the documentation.
pub const ALL: [Family; 12] = [
    OBSERVED_BYTES,
    OBSERVED_PACKETS,
    CAPTURE_ITERATIONS,
    DATA_LOST_SECONDS,
    FRAMES_RECEIVED,
    FRAMES_SKIPPED,
    FRAMES_TRUNCATED,
    CAPTURE_DROPPED,
    CAPTURE_UP,
    CAPTURE_LAST_FRAME,
    FLOWS,
    BUILD_INFO,
];
