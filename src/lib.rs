//! A frame's way through the program:
//!
//! 1. [`capture`] hands over frames: from capture files and streams, from packet sockets, from a
//!    tshark child, from UDP sockets.
//! 2. [`wire`] says what the bytes of one frame mean, or why it counts in no flow.
//! 3. [`flow`] keeps the flows and their counters, within limits. [`aggregator`] ties these steps
//!    together and accounts for every frame.
//! 4. [`metrics`] turns a snapshot into the text that Prometheus reads.
//!    [`report`] turns it into tables, JSON and words for people.
//! 5. [`http`] serves it, or it goes to standard output.
//!
//! [`cli`] is what can be typed; [`analyze`] and [`live`] are the recipes that join the rooms
//! for a one-shot run and for the daemon. Apart from these, no room uses one further down the
//! way. [`memory`] refuses, at the start, more flows than can be kept; [`panics`] leaves nothing
//! half alive.
//!
//! What always holds:
//! - Frames received = packets of all flows + frames skipped, by reason.
//! - `wire`, `flow`, `metrics` and `report` open nothing, print nothing and read no clock.
//! - Bytes from the network cause neither a panic nor growth without a limit.

pub mod aggregator;
pub mod analyze;
pub mod capture;
pub mod cli;
mod dual_stack;
pub mod flow;
pub mod http;
pub mod live;
pub mod memory;
pub mod metrics;
pub mod panics;
pub mod report;
pub mod wire;
