//! Capture files and streams.
//!
//! 1. [`unpack`] takes off compression.
//! 2. [`CaptureReader`] buffers the stream and hands out its frames. [`format`] tells the two
//!    formats apart.
//! 3. [`pcap`] and [`pcapng`] say what is at the front of the buffer, in the terms of [`record`].
//!    What is neither, [`content`] names.
//! 4. [`recovery`] gets past what is damaged and keeps account of it. Each format has a module of
//!    its own that finds the place to go on.

mod ahead;
mod compressed;
mod content;
mod format;
mod pcap;
mod pcapng;
mod reader;
mod record;
mod recovery;

pub use compressed::unpack;
pub use content::Content;
pub use reader::{CaptureError, CaptureReader};
pub use recovery::Damage;
