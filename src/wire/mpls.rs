//! MPLS label stacks (RFC 3032, section 2.1).
//!
//! ```text
//!   0                   1                   2                   3
//!  +---------------------------------------+-----+-+---------------+
//!  |                 label                 |class|S|  time to live |
//!  +---------------------------------------+-----+-+---------------+
//! ```
//!
//! S is set at the bottom of the stack. No field identifies the payload. If it is IP, its first
//! four bits are the version (RFC 4928).

use etherparse::EtherType;

use super::payload::{LinkError, Payload};
use crate::frame::Captured;

pub(super) const UNICAST: EtherType = EtherType(0x8847);
/// RFC 5332: a label that the sender of the frame assigned.
pub(super) const MULTICAST: EtherType = EtherType(0x8848);

const BOTTOM_OF_STACK: u8 = 1;

/// Skips a stack of labels of any depth.
pub(super) fn parse(stack: Captured<'_>) -> Result<Payload<'_>, LinkError> {
    let mut rest = stack.bytes;
    // Each iteration takes 4 bytes, so the loop ends.
    loop {
        let [_, _, class_and_bottom, _, tail @ ..] = rest else {
            return Err(LinkError::Malformed);
        };
        rest = tail;
        if class_and_bottom & BOTTOM_OF_STACK != 0 {
            return Payload::by_version(stack.behind_header(rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stack: &[u8], expected: Result<(u16, &[u8]), LinkError>) {
        let found =
            parse(Captured::whole(stack)).map(|found| (found.ether_type.0, found.packet.bytes));
        assert_eq!(found, expected, "{stack:02x?}");
    }

    #[test]
    fn the_first_four_bits_behind_the_bottom_are_the_version() {
        check(&[0, 1, 0x01, 64, 0x45], Ok((0x0800, &[0x45])));
        // Label 0xfffff in class 7, then label 3 in class 0.
        check(
            &[0xff, 0xff, 0xfe, 0, 0, 0, 0x31, 0, 0x60],
            Ok((0x86dd, &[0x60])),
        );
        // The control word of a pseudowire.
        check(&[0, 1, 0x01, 64, 0, 0, 0, 0], Err(LinkError::NoEtherType));
    }

    #[test]
    fn a_stack_without_a_bottom_is_malformed_however_long() {
        let stack = [0, 1, 0x00, 64, 0, 1, 0x01, 64];
        for length in 0..=stack.len() {
            check(&stack[..length], Err(LinkError::Malformed));
        }
        let endless = [0, 1, 0x00, 64].repeat(65_536);
        check(&endless, Err(LinkError::Malformed));
        let deep = [&endless[..], &[0, 1, 0x01, 64, 0x45]].concat();
        check(&deep, Ok((0x0800, &[0x45])));
    }
}
