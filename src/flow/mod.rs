//! Flows, and the table that counts them. A flow is all inner packets with the same label values.
//!
//! - A user chooses [`Labels`], [`Network`]s and [`PrefixLength`]s. Together they make up a
//!   [`Shape`], which turns the observation of a packet into the [`Key`] of its flow.
//! - Packets are collected in a [`PacketBatch`], and counted in a [`FlowTable`] within its
//!   [`FlowLimits`].
//! - A scrape takes a [`Snapshot`] of the table. [`Recent`] has the traffic of the last minute.
//! - The table also counts the packets of hosts: the addresses in the [`HostClasses`].
//! - [`Sensors`] counts frames by sender, within a limit of its own.
//!
//! Pure: reads no clock, and does no input or output.

mod bytes;
mod changes;
mod class;
mod clock;
mod distinct;
mod groups;
mod hold;
mod host_classes;
mod hosts;
mod key;
mod label;
mod network;
mod packets;
mod place;
mod prefix_tree;
mod protocol;
mod rank;
mod sensors;
mod series;
mod services;
mod shape;
mod snapshot;
mod store;
mod table;
mod top_n;

pub use changes::{Changes, Series};
pub use class::{Class, Classes, ClassesError, Lengths, WHOLE};
pub use clock::Start;
pub use host_classes::{HostClasses, HostClassesError};
pub use hosts::MOST_HOSTS;
pub use key::{Address, Key};
pub use label::{Label, Labels, LabelsError, NoDatabase};
pub use network::{Network, NetworkError, OTHER, PrefixLength};
pub use packets::PacketBatch;
pub use place::{Place, Places};
pub use protocol::ProtocolName;
pub use sensors::{Arrivals, Sensor, SensorRuns, SensorSnapshot, Sensors};
pub use services::{Service, Services, ServicesError};
pub use shape::{OverflowKey, Shape, TrafficKey};
pub use snapshot::{
    BothDirections, Counters, Direction, Flow, Group, HostKey, HostTraffic, Occupancy, Recent,
    RecentHost, RecentHosts, Snapshot, Sum,
};
pub use table::{CHECKPOINT_INTERVAL, FlowLimits, FlowTable};
pub(crate) use top_n::TopN;
