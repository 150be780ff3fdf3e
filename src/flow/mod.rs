//! What a flow is: all inner packets with equal label values; and the table that counts them.
//!
//! [`Labels`], [`Network`] and [`PrefixLength`] are what a user chooses, [`Shape`] is what follows
//! from it. [`FlowTable`] holds the rules of who has a place, and [`Snapshot`] is what a scrape
//! sees of it. [`Sensors`] counts the frames of those who send, within a limit of their own.
//!
//! Pure: no clock, no input or output.

mod bytes;
mod class;
mod clock;
mod distinct;
mod hold;
mod key;
mod label;
mod network;
mod packets;
mod protocol;
mod rank;
mod sensors;
mod series;
mod series_keys;
mod shape;
mod snapshot;
mod store;
mod table;
mod top_n;

pub use class::{Class, Classes, ClassesError, Lengths, WHOLE};
pub use key::{Address, Key};
pub use label::{Label, Labels, LabelsError};
pub use network::{Network, NetworkError, OTHER, PrefixLength};
pub use packets::PacketBatch;
pub use protocol::ProtocolName;
pub use sensors::{Arrivals, Sensor, SensorRuns, SensorSnapshot, Sensors};
pub use series_keys::SeriesKeys;
pub use shape::{OverflowKey, Shape, TrafficKey};
pub use snapshot::{Counters, Flow, Occupancy, Recent, Snapshot, Sum};
pub use table::{CHECKPOINT_INTERVAL, FlowLimits, FlowTable};
pub(crate) use top_n::TopN;
