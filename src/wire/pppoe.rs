//! PPPoE sessions (RFC 2516, section 4).
//!
//! ```text
//!  +---------------+--------+--------------+-----------+-----
//!  | version, type |  code  |  session id  |  length   | PPP
//!  |    1 byte     | 1 byte |   2 bytes    |  2 bytes  |
//!  +---------------+--------+--------------+-----------+-----
//! ```
//!
//! The length is not used, because the packet inside has its own.

use etherparse::EtherType;

use super::payload::{LinkError, Payload};
use super::ppp;
use crate::frame::Captured;

pub(super) const SESSION: EtherType = EtherType(0x8864);

/// Decodes a session's header and the PPP behind it.
pub(super) fn parse(frame: Captured<'_>) -> Result<Payload<'_>, LinkError> {
    let (_, rest) = frame
        .bytes
        .split_first_chunk::<6>()
        .ok_or(LinkError::Malformed)?;
    ppp::parse(frame.behind_header(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(frame: &[u8], expected: Result<(u16, &[u8]), LinkError>) {
        let found =
            parse(Captured::whole(frame)).map(|found| (found.ether_type.0, found.packet.bytes));
        assert_eq!(found, expected, "{frame:02x?}");
    }

    #[test]
    fn a_session_holds_ppp_without_framing() {
        check(
            &[0x11, 0, 0, 42, 0, 3, 0, 0x21, 0x45],
            Ok((0x0800, &[0x45])),
        );
        check(&[0x11, 0, 0, 42, 0, 2, 0x57, 0x60], Ok((0x86dd, &[0x60])));
        check(&[0x11, 0, 0, 42, 0, 3, 0x02, 0x81, 1], Ok((0x8847, &[1])));
        let framed = [0x11, 0, 0, 42, 0, 5, 0xff, 0x03, 0, 0x21, 0x45];
        check(&framed, Err(LinkError::NoEtherType));
    }

    #[test]
    fn a_header_cut_anywhere_is_malformed() {
        let header = [0x11, 0, 0, 42, 0, 2, 0, 0x21];
        for length in 0..header.len() {
            check(&header[..length], Err(LinkError::Malformed));
        }
    }
}
