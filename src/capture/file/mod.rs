//! Capture files and streams.
//!
//! 1. [`unpack`] decompresses a stream.
//! 2. [`CaptureReader`] buffers the stream and returns its frames. [`content`] identifies a stream
//!    that is not a capture. [`block`] feeds it for several threads.
//! 3. [`walk`] moves from record to record. It handles appended captures, runs of zeros and damage,
//!    and counts what was skipped.
//! 4. [`pcap`] and [`pcapng`] read the item at the front of the buffer and return it as a type of
//!    [`record`]; [`format`] wraps both. After damage, a submodule of each resynchronises.

mod ahead;
mod block;
mod compressed;
mod content;
mod damage;
mod format;
mod group;
mod pcap;
mod pcapng;
mod reader;
mod record;
mod signature;
mod walk;
mod zeros;

pub use block::{Block, BlockReader};
pub use compressed::{is_compressed, unpack};
pub use content::Content;
pub use damage::Damage;
pub use reader::{CaptureError, CaptureReader};
