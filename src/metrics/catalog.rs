//! Every metric's name, type, labels and help text.

/// A metric family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The name of its samples, with `_total` for a counter.
    pub name: &'static str,
    pub kind: Kind,
    /// The names of its labels, in the order in which they are written.
    pub labels: &'static [&'static str],
    /// One sentence without quotes and backslashes.
    pub help: &'static str,
}

/// The type of a metric family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
}

impl Kind {
    /// Returns the type as a `# TYPE` line has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// The default labels of a flow; `--labels` chooses others.
pub(super) const FLOW_LABELS: &[&str] = &[
    "from",
    "from_type",
    "to",
    "to_type",
    "protocol",
    "listen_port",
];

pub(super) const TRAFFIC_LABELS: &[&str] = &["from_type", "to_type", "protocol", "listen_port"];

pub(crate) const OBSERVED_BYTES: Family = Family {
    name: "tzsp_observed_bytes_total",
    kind: Kind::Counter,
    labels: FLOW_LABELS,
    help: "Bytes of mirrored packets, IP headers included.",
};

pub(crate) const OBSERVED_PACKETS: Family = Family {
    name: "tzsp_observed_packets_total",
    kind: Kind::Counter,
    labels: FLOW_LABELS,
    help: "Mirrored packets.",
};

pub(crate) const FROM_INFO: Family = Family {
    name: "tzsp_from_info",
    kind: Kind::Gauge,
    labels: &["from", "from_name"],
    help: "Always 1: the name of each address in from, or the address itself if none is known; with --names.",
};

pub(crate) const TO_INFO: Family = Family {
    name: "tzsp_to_info",
    kind: Kind::Gauge,
    labels: &["to", "to_name"],
    help: "Always 1: the name of each address in to, or the address itself if none is known; with --names.",
};

pub(crate) const HOST_INFO: Family = Family {
    name: "tzsp_host_info",
    kind: Kind::Gauge,
    labels: &["host", "host_name"],
    help: "Always 1: the name of each host, or its address if none is known; with --names.",
};

pub(super) const NAMES: Family = Family {
    name: "tzsp_names",
    kind: Kind::Gauge,
    labels: &["source"],
    help: "Addresses of which each source of names knows a name.",
};

pub(super) const NAMES_FAILURES: Family = Family {
    name: "tzsp_names_failures_total",
    kind: Kind::Counter,
    labels: &["source"],
    help: "Failures of each source of names: messages or files that cannot be read, look-ups without an answer.",
};

pub(super) const GEO_DATABASE_BUILT: Family = Family {
    name: "tzsp_geo_database_build_timestamp_seconds",
    kind: Kind::Gauge,
    labels: &["file"],
    help: "When the vendor built each database of --geo-database that is in use.",
};

pub(super) const GEO_DATABASE_BYTES: Family = Family {
    name: "tzsp_geo_database_size_bytes",
    kind: Kind::Gauge,
    labels: &["file"],
    help: "Size of each database of --geo-database that is in use.",
};

pub(super) const GEO_DATABASE_FAILURES: Family = Family {
    name: "tzsp_geo_database_failures_total",
    kind: Kind::Counter,
    labels: &["file"],
    help: "Times a file of --geo-database has changed to something that cannot be used; the database before it stays in use.",
};

pub(super) const OPERATORS: Family = Family {
    name: "tzsp_operators",
    kind: Kind::Gauge,
    labels: &[],
    help: "Network operators found so far, which are shown with their organisation; with from_asn or to_asn.",
};

pub(super) const OPERATORS_LIMIT: Family = Family {
    name: "tzsp_operators_limit",
    kind: Kind::Gauge,
    labels: &[],
    help: "Network operators that may be shown with their organisation; further ones are a number alone.",
};

pub(crate) const TRAFFIC_BYTES: Family = Family {
    name: "tzsp_traffic_bytes_total",
    kind: Kind::Counter,
    labels: TRAFFIC_LABELS,
    help: "Bytes of all mirrored packets ever counted, however many flows there are.",
};

pub(crate) const TRAFFIC_PACKETS: Family = Family {
    name: "tzsp_traffic_packets_total",
    kind: Kind::Counter,
    labels: TRAFFIC_LABELS,
    help: "All mirrored packets ever counted, however many flows there are.",
};

pub(super) const HOST_LABELS: &[&str; 3] = &["host", "direction", "peer_type"];

pub(crate) const HOST_BYTES: Family = Family {
    name: "tzsp_host_bytes_total",
    kind: Kind::Counter,
    labels: HOST_LABELS,
    help: "Bytes that each host sent and received, by the type of the other side; beyond --max-hosts of `other`.",
};

pub(crate) const HOST_PACKETS: Family = Family {
    name: "tzsp_host_packets_total",
    kind: Kind::Counter,
    labels: HOST_LABELS,
    help: "Packets that each host sent and received, likewise.",
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

pub(crate) const FRAMES_RECEIVED: Family = Family {
    name: "tzsp_frames_received_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Frames or datagrams that the capture handed over.",
};

pub(crate) const FRAMES_SKIPPED: Family = Family {
    name: "tzsp_frames_skipped_total",
    kind: Kind::Counter,
    labels: &["reason"],
    help: "Frames that count in no flow, by the first reason found.",
};

pub(crate) const FRAMES_TRUNCATED: Family = Family {
    name: "tzsp_frames_truncated_total",
    kind: Kind::Counter,
    labels: &["cause"],
    help: "Frames counted in a flow although their inner packet was not there whole.",
};

pub(super) const SELF_CAPTURED: Family = Family {
    name: "tzsp_self_captured_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Packets that are themselves TZSP to a listen port: a sensor mirrors its own stream.",
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

pub(super) const SENSOR_FRAMES: Family = Family {
    name: "tzsp_sensor_frames_total",
    kind: Kind::Counter,
    labels: &["sensor", "listen_port"],
    help: "Frames from each sensor, those that were skipped included; beyond --max-sensors from `other`.",
};

pub(super) const SENSOR_LAST_FRAME: Family = Family {
    name: "tzsp_sensor_last_frame_timestamp_seconds",
    kind: Kind::Gauge,
    labels: &["sensor", "listen_port"],
    help: "When the newest frame of each sensor arrived, in seconds since the Unix epoch.",
};

pub(super) const LISTEN_PORT_LAST_FRAME: Family = Family {
    name: "tzsp_listen_port_last_frame_timestamp_seconds",
    kind: Kind::Gauge,
    labels: &["listen_port"],
    help: "When the newest frame for each listen port arrived, likewise; 0 before the first.",
};

pub(super) const FLOWS: Family = Family {
    name: "tzsp_flows",
    kind: Kind::Gauge,
    labels: &[],
    help: "Flows exposed now.",
};

pub(super) const FLOWS_LIMIT: Family = Family {
    name: "tzsp_flows_limit",
    kind: Kind::Gauge,
    labels: &[],
    help: "Flows that may be exposed: --max-flows.",
};

pub(super) const FLOWS_OVERFLOW: Family = Family {
    name: "tzsp_flows_overflow_packets_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Packets whose flow found no place, counted as `other`.",
};

pub(super) const FLOWS_DEMAND: Family = Family {
    name: "tzsp_flows_demand",
    kind: Kind::Gauge,
    labels: &[],
    help: "How many distinct flows asked for a place since the start; an estimate; its standard error is 0.6 %.",
};

pub(super) const FLOWS_IDLE: Family = Family {
    name: "tzsp_flows_idle",
    kind: Kind::Gauge,
    labels: &[],
    help: "Idle flows whose count is kept although they are not exposed.",
};

pub(super) const FLOWS_IDLE_LIMIT: Family = Family {
    name: "tzsp_flows_idle_limit",
    kind: Kind::Gauge,
    labels: &[],
    help: "Idle flows whose count may be kept: --max-idle-flows.",
};

pub(super) const FLOWS_FORGOTTEN: Family = Family {
    name: "tzsp_flows_forgotten_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Idle flows whose count was given up; they start from 0 when they return.",
};

pub(super) const HOSTS: Family = Family {
    name: "tzsp_hosts",
    kind: Kind::Gauge,
    labels: &[],
    help: "Hosts exposed now.",
};

pub(super) const HOSTS_LIMIT: Family = Family {
    name: "tzsp_hosts_limit",
    kind: Kind::Gauge,
    labels: &[],
    help: "Hosts that may be exposed: --max-hosts.",
};

pub(super) const HOSTS_FORGOTTEN: Family = Family {
    name: "tzsp_hosts_forgotten_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Idle hosts whose slot another host took; they start from 0 when they return.",
};

pub(super) const HTTP_REFUSED: Family = Family {
    name: "tzsp_http_refused_total",
    kind: Kind::Counter,
    labels: &["reason"],
    help: "Connections and requests that the web server refused or cut off.",
};

pub(super) const HTTP_CONNECTIONS: Family = Family {
    name: "tzsp_http_connections",
    kind: Kind::Gauge,
    labels: &[],
    help: "Open connections to the web server.",
};

pub(super) const WEB_CONFIG_CURRENT: Family = Family {
    name: "tzsp_web_config_last_reload_successful",
    kind: Kind::Gauge,
    labels: &[],
    help: "1 while --web.config.file is in force as it is; 0: it cannot be used, the one before is.",
};

pub(super) const BUILD_INFO: Family = Family {
    name: "tzsp_exporter_build_info",
    kind: Kind::Gauge,
    labels: &["version", "revision", "rustversion"],
    help: "Always 1; the labels say what is running.",
};

pub(super) const PROCESS_CPU: Family = Family {
    name: "process_cpu_seconds_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Total user and system CPU time spent in seconds.",
};

pub(super) const PROCESS_OPEN_FDS: Family = Family {
    name: "process_open_fds",
    kind: Kind::Gauge,
    labels: &[],
    help: "Number of open file descriptors.",
};

pub(super) const PROCESS_MAX_FDS: Family = Family {
    name: "process_max_fds",
    kind: Kind::Gauge,
    labels: &[],
    help: "Maximum number of open file descriptors.",
};

pub(super) const PROCESS_VIRTUAL: Family = Family {
    name: "process_virtual_memory_bytes",
    kind: Kind::Gauge,
    labels: &[],
    help: "Virtual memory size in bytes.",
};

pub(super) const PROCESS_VIRTUAL_MAX: Family = Family {
    name: "process_virtual_memory_max_bytes",
    kind: Kind::Gauge,
    labels: &[],
    help: "Maximum amount of virtual memory available in bytes.",
};

pub(super) const PROCESS_RESIDENT: Family = Family {
    name: "process_resident_memory_bytes",
    kind: Kind::Gauge,
    labels: &[],
    help: "Resident memory size in bytes.",
};

pub(super) const PROCESS_START: Family = Family {
    name: "process_start_time_seconds",
    kind: Kind::Gauge,
    labels: &[],
    help: "Start time of the process since unix epoch in seconds.",
};

pub(super) const PROCESS_THREADS: Family = Family {
    name: "process_threads",
    kind: Kind::Gauge,
    labels: &[],
    help: "Number of OS threads in the process.",
};

pub(super) const PROCESS_RECEIVED: Family = Family {
    name: "process_network_receive_bytes_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Number of bytes received by the process over the network.",
};

pub(super) const PROCESS_TRANSMITTED: Family = Family {
    name: "process_network_transmit_bytes_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Number of bytes sent by the process over the network.",
};

/// All families, in the order of the documentation.
pub const ALL: [Family; 52] = [
    OBSERVED_BYTES,
    OBSERVED_PACKETS,
    TRAFFIC_BYTES,
    TRAFFIC_PACKETS,
    HOST_BYTES,
    HOST_PACKETS,
    FROM_INFO,
    TO_INFO,
    HOST_INFO,
    NAMES,
    NAMES_FAILURES,
    GEO_DATABASE_BUILT,
    GEO_DATABASE_BYTES,
    GEO_DATABASE_FAILURES,
    OPERATORS,
    OPERATORS_LIMIT,
    CAPTURE_ITERATIONS,
    DATA_LOST_SECONDS,
    FRAMES_RECEIVED,
    FRAMES_SKIPPED,
    FRAMES_TRUNCATED,
    SELF_CAPTURED,
    CAPTURE_DROPPED,
    CAPTURE_UP,
    CAPTURE_LAST_FRAME,
    SENSOR_FRAMES,
    SENSOR_LAST_FRAME,
    LISTEN_PORT_LAST_FRAME,
    FLOWS,
    FLOWS_LIMIT,
    FLOWS_OVERFLOW,
    FLOWS_DEMAND,
    FLOWS_IDLE,
    FLOWS_IDLE_LIMIT,
    FLOWS_FORGOTTEN,
    HOSTS,
    HOSTS_LIMIT,
    HOSTS_FORGOTTEN,
    HTTP_REFUSED,
    HTTP_CONNECTIONS,
    WEB_CONFIG_CURRENT,
    BUILD_INFO,
    PROCESS_CPU,
    PROCESS_OPEN_FDS,
    PROCESS_MAX_FDS,
    PROCESS_VIRTUAL,
    PROCESS_VIRTUAL_MAX,
    PROCESS_RESIDENT,
    PROCESS_START,
    PROCESS_THREADS,
    PROCESS_RECEIVED,
    PROCESS_TRANSMITTED,
];
