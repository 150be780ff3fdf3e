//! The rooms of the program, in the order in which a frame meets them. A room imports only rooms
//! above it; ARCHITECTURE.md says what each never does.
//!
//! - [`panics`] ends the process on a panic; [`dual_stack`] binds sockets for IPv4 and IPv6;
//!   [`console_events`] waits for Ctrl-C on Windows.
//! - [`printable`] decides which characters are shown; [`reload`] when a changed file is used.
//! - [`frame`]: the types that [`capture`] hands to [`wire`].
//! - [`capture`] gets frames from files, streams, packet sockets, a tshark child and UDP sockets.
//! - [`wire`] decodes one frame, or returns the reason why it counts in no flow.
//! - [`geo`] knows countries and network operators of addresses, from databases.
//! - [`flow`] keeps flows and their counters, within limits.
//! - [`names`] knows names for addresses, from files, DHCP, DNS and name servers.
//! - [`aggregator`] ties `wire` to `flow` and accounts for every frame.
//! - [`memory`] refuses, at the start, limits that do not fit into memory.
//! - [`metrics`] renders a snapshot as text, [`report`] as tables, JSON and words for people;
//!   [`http`] serves it.
//! - [`analyze`] is the one-shot run, [`live`] the daemon; [`healthcheck`] asks a daemon whether it
//!   is healthy; [`cli`] is their command line.
//!
//! Always: frames received = packets of all flows + frames skipped, by reason.

pub mod aggregator;
pub mod analyze;
pub mod capture;
pub mod cli;
#[cfg(windows)]
pub mod console_events;
pub mod dual_stack;
pub mod flow;
pub mod frame;
pub mod geo;
pub mod healthcheck;
pub mod http;
pub mod live;
pub mod memory;
pub mod metrics;
pub mod names;
pub mod panics;
pub mod printable;
pub mod reload;
pub mod report;
pub mod wire;
