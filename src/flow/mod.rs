//! What a flow is: all inner packets with equal label values; and the table that counts them.
//!
//! Pure: no clock, no input or output.

mod address;
mod protocol;
mod table;

pub use address::AddressClass;
pub use protocol::ProtocolName;
pub use table::{Counters, Flow, FlowKey, FlowTable};
