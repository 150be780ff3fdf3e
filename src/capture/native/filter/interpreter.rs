//! Runs a filter as the kernel would, for tests: the instructions that [`program`](super::program)
//! writes.

use super::program::{
    A_TO_X, ADD, ADD_X, AND, INTERFACE, Instruction, JUMP, JUMP_IF_ANY_BIT, JUMP_IF_EQUAL, KEEP,
    LOAD_BYTE_AT_X, LOAD_HALF_AT_X, LOAD_KEPT, LOAD_WORD, LOAD_X, PACKET_TYPE, PROTOCOL, RETURN,
    SHIFT_LEFT, SHIFT_RIGHT, X_TO_A,
};

/// A packet as a socket of type `SOCK_DGRAM` receives it.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    pub(super) protocol: u16,
    /// The packet type, such as `PACKET_HOST` or `PACKET_OUTGOING`: linux/if_packet.h.
    pub(super) kind: u32,
    pub(super) interface: u32,
    /// The bytes behind the link-layer header.
    pub(super) bytes: Vec<u8>,
}

impl Packet {
    /// Creates a packet that arrived at this host and is addressed to it.
    pub(super) fn new(protocol: u16, bytes: &[u8]) -> Self {
        Self {
            protocol,
            kind: 0,
            interface: 1,
            bytes: bytes.to_vec(),
        }
    }

    /// Creates a packet from an Ethernet frame, as Linux does: without the header and the outermost
    /// VLAN tag.
    pub(super) fn of_ethernet(frame: &[u8]) -> Option<Self> {
        let (header, rest) = frame.split_first_chunk::<14>()?;
        let protocol = u16::from_be_bytes([header[12], header[13]]);
        match (protocol, rest) {
            (0x8100 | 0x88a8, [_, _, high, low, rest @ ..]) => {
                Some(Self::new(u16::from_be_bytes([*high, *low]), rest))
            }
            (0x8100 | 0x88a8, _) => None,
            _ => Some(Self::new(protocol, rest)),
        }
    }
}

/// Whether the filter passes the packet.
pub(super) fn passes(program: &[Instruction], packet: &Packet) -> bool {
    run(program, packet).unwrap_or(0) > 0
}

/// Returns the program's result; `None` if it loads bytes beyond the end of the packet.
fn run(program: &[Instruction], packet: &Packet) -> Option<u32> {
    let (mut a, mut x, mut kept) = (0_u32, 0_u32, 0_u32);
    let mut at = 0;
    loop {
        let instruction = program[at];
        let k = instruction.k;
        at += 1;
        let offset = usize::try_from(x.wrapping_add(k)).expect("32 bits fit");
        match instruction.code {
            LOAD_WORD => {
                a = match k {
                    PROTOCOL => packet.protocol.into(),
                    PACKET_TYPE => packet.kind,
                    INTERFACE => packet.interface,
                    _ => panic!("unknown word {k:#x}"),
                }
            }
            LOAD_HALF_AT_X => {
                let half = packet.bytes.get(offset..)?.first_chunk()?;
                a = u16::from_be_bytes(*half).into();
            }
            LOAD_BYTE_AT_X => a = (*packet.bytes.get(offset)?).into(),
            LOAD_KEPT => a = kept,
            LOAD_X => x = k,
            KEEP => kept = a,
            ADD => a = a.wrapping_add(k),
            ADD_X => a = a.wrapping_add(x),
            AND => a &= k,
            SHIFT_LEFT => a <<= k,
            SHIFT_RIGHT => a >>= k,
            A_TO_X => x = a,
            X_TO_A => a = x,
            JUMP => at += usize::try_from(k).expect("32 bits fit"),
            JUMP_IF_EQUAL => at += jump(instruction, a == k),
            JUMP_IF_ANY_BIT => at += jump(instruction, a & k != 0),
            RETURN => return Some(k),
            code => panic!("unknown instruction {code:#x}"),
        }
    }
}

fn jump(instruction: Instruction, holds: bool) -> usize {
    usize::from(if holds {
        instruction.jump_true
    } else {
        instruction.jump_false
    })
}
