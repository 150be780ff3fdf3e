//! The records of a pcap capture.

use std::borrow::Cow;
use std::time::Duration;

use pcap_file::pcap::{PcapParseError, PcapParser, PcapTsResolution};

use super::Frame;
use super::reader::{Item, MAX_RECORD};
use crate::wire::LinkType;

/// libpcap's largest snap length. Wireshark, too, takes a longer record for damage, unless
/// the header announces longer ones.
const USUAL_MAX_RECORD: usize = 262_144;

#[derive(Debug)]
pub(super) struct Pcap {
    parser: PcapParser,
    link: LinkType,
    max_record: usize,
}

impl Pcap {
    pub(super) fn new(parser: PcapParser) -> Self {
        let header = parser.header();
        // The upper half of the field says whether frames end with a check sequence, which
        // makes no difference: no length is taken from the size of a frame.
        let [_, _, high, low] = u32::from(header.datalink).to_be_bytes();
        let snaplen = usize::try_from(header.snaplen).unwrap_or(MAX_RECORD);
        Self {
            parser,
            link: LinkType(u16::from_be_bytes([high, low])),
            max_record: snaplen.clamp(USUAL_MAX_RECORD, MAX_RECORD),
        }
    }

    /// Reads leniently: a record may be longer than the header's snap length, or than its own
    /// original length, and its timestamp may be odd. All that counts is what is there.
    pub(super) fn next<'a>(&self, bytes: &'a [u8]) -> Item<'a> {
        let too_long = |length: usize| Item::Damaged {
            what: format!("a record of {length} bytes"),
        };
        let (rest, record) = match self.parser.next_raw_packet(bytes) {
            Ok(parsed) => parsed,
            Err(PcapParseError::IncompleteBuffer(needed, _)) if needed > self.max_record => {
                return too_long(needed);
            }
            Err(PcapParseError::IncompleteBuffer(..)) => return Item::Incomplete,
            Err(error) => {
                return Item::Damaged {
                    what: error.to_string(),
                };
            }
        };
        let Cow::Borrowed(frame) = record.data else {
            unreachable!("a record is borrowed from the buffer");
        };
        if frame.len() > self.max_record {
            return too_long(frame.len());
        }
        let fraction = u64::from(record.ts_frac);
        let fraction = match self.parser.header().ts_resolution {
            PcapTsResolution::MicroSecond => Duration::from_micros(fraction),
            PcapTsResolution::NanoSecond => Duration::from_nanos(fraction),
        };
        Item::Frame {
            size: bytes.len() - rest.len(),
            frame: Frame {
                at: Duration::from_secs(u64::from(record.ts_sec)) + fraction,
                link: self.link,
                bytes: frame,
            },
        }
    }
}
