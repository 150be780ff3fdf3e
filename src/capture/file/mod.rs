//! Capture files and streams.
//!
//! 1. [`unpack`] takes off compression.
//! 2. [`CaptureReader`] buffers the stream and hands out its frames. What is no capture, [`content`]
//!    names.
//! 3. [`walk`] goes from record to record: it knows about appended captures, runs of zeros and
//!    damage, and keeps account of what was passed over.
//! 4. [`pcap`] and [`pcapng`] say what is at the front of the buffer, in the terms of [`record`];
//!    [`format`] is either of them. Behind damage, a module of each finds the place to go on.

mod ahead;
mod compressed;
mod content;
mod damage;
mod format;
mod pcap;
mod pcapng;
mod reader;
mod record;
mod signature;
mod walk;
mod zeros;

pub use compressed::unpack;
pub use content::Content;
pub use damage::Damage;
pub use reader::{CaptureError, CaptureReader};
