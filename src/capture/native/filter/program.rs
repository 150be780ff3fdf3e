//! Assembles classic BPF programs: linux/bpf_common.h and linux/filter.h.
//!
//! A program has an accumulator (A), an index register (X) and one memory cell. A load beyond the
//! end of the packet drops the packet.

/// One instruction in the kernel's encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::capture::native) struct Instruction {
    pub(in crate::capture::native) code: u16,
    /// How many instructions to skip if the condition is true, and if it is false.
    pub(in crate::capture::native) jump_true: u8,
    pub(in crate::capture::native) jump_false: u8,
    pub(in crate::capture::native) k: u32,
}

pub(super) const LOAD_WORD: u16 = 0x20;
pub(super) const LOAD_HALF_AT_X: u16 = 0x48;
pub(super) const LOAD_BYTE_AT_X: u16 = 0x50;
pub(super) const LOAD_KEPT: u16 = 0x60;
pub(super) const LOAD_X: u16 = 0x01;
pub(super) const KEEP: u16 = 0x02;
pub(super) const ADD: u16 = 0x04;
pub(super) const ADD_X: u16 = 0x0c;
pub(super) const AND: u16 = 0x54;
pub(super) const SHIFT_LEFT: u16 = 0x64;
pub(super) const SHIFT_RIGHT: u16 = 0x74;
pub(super) const JUMP: u16 = 0x05;
pub(super) const JUMP_IF_EQUAL: u16 = 0x15;
pub(super) const JUMP_IF_ANY_BIT: u16 = 0x45;
pub(super) const RETURN: u16 = 0x06;
pub(super) const A_TO_X: u16 = 0x07;
pub(super) const X_TO_A: u16 = 0x87;

/// The offset at which loads return metadata of the packet instead of bytes: `SKF_AD_OFF`.
const METADATA: u32 = 0xffff_f000;
pub(super) const PROTOCOL: u32 = METADATA;
pub(super) const PACKET_TYPE: u32 = METADATA + 4;
pub(super) const INTERFACE: u32 = METADATA + 8;

/// A return value that exceeds every packet's length, so that the kernel cuts nothing. If it did,
/// the original length would be lost; the receiver's buffer cuts instead.
const WHOLE_PACKET: u32 = 0x4_0000;

/// A value that can be loaded into the accumulator.
#[derive(Debug, Clone, Copy)]
pub(in crate::capture::native) enum Load {
    /// The EtherType.
    Protocol,
    /// The packet type, such as `PACKET_OUTGOING`: linux/if_packet.h.
    PacketType,
    /// The index of the interface.
    Interface,
    /// The byte at X plus this offset.
    Byte(u32),
    /// The two bytes at X plus this offset.
    Half(u32),
    /// The value of the memory cell.
    Kept,
}

/// The target of jumps in a program. Jumps go forward only.
#[derive(Debug, Clone, Copy)]
pub(super) struct Label(usize);

/// A program under construction.
#[derive(Debug, Default)]
pub(super) struct Program {
    instructions: Vec<Instruction>,
    /// The position of each label.
    labels: Vec<usize>,
    /// The positions of all jumps, with their targets.
    jumps: Vec<(usize, Label)>,
}

impl Program {
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(0);
        Label(self.labels.len() - 1)
    }

    /// Places the label at the next instruction.
    pub(super) fn place(&mut self, label: Label) {
        self.labels[label.0] = self.instructions.len();
    }

    pub(super) fn load(&mut self, what: Load) {
        match what {
            Load::Protocol => self.push(LOAD_WORD, PROTOCOL),
            Load::PacketType => self.push(LOAD_WORD, PACKET_TYPE),
            Load::Interface => self.push(LOAD_WORD, INTERFACE),
            Load::Byte(offset) => self.push(LOAD_BYTE_AT_X, offset),
            Load::Half(offset) => self.push(LOAD_HALF_AT_X, offset),
            Load::Kept => self.push(LOAD_KEPT, 0),
        }
    }

    pub(super) fn keep(&mut self) {
        self.push(KEEP, 0);
    }

    pub(super) fn set_offset(&mut self, offset: u32) {
        self.push(LOAD_X, offset);
    }

    /// Adds to X and keeps A. `u32::MAX` subtracts one.
    pub(super) fn advance_keeping(&mut self, bytes: u32) {
        self.keep();
        self.push(X_TO_A, 0);
        self.add(bytes);
        self.push(A_TO_X, 0);
        self.load(Load::Kept);
    }

    /// Adds A to X.
    pub(super) fn advance_by_value(&mut self) {
        self.push(ADD_X, 0);
        self.push(A_TO_X, 0);
    }

    pub(super) fn add(&mut self, value: u32) {
        self.push(ADD, value);
    }

    pub(super) fn and(&mut self, mask: u32) {
        self.push(AND, mask);
    }

    pub(super) fn shift_left(&mut self, bits: u32) {
        self.push(SHIFT_LEFT, bits);
    }

    pub(super) fn shift_right(&mut self, bits: u32) {
        self.push(SHIFT_RIGHT, bits);
    }

    pub(super) fn if_equal(&mut self, value: u32, label: Label) {
        self.jump_if(JUMP_IF_EQUAL, value, label);
    }

    pub(super) fn if_any_bit(&mut self, mask: u32, label: Label) {
        self.jump_if(JUMP_IF_ANY_BIT, mask, label);
    }

    pub(super) fn go_to(&mut self, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        self.push(JUMP, 0);
    }

    pub(super) fn accept(&mut self) {
        self.push(RETURN, WHOLE_PACKET);
    }

    pub(super) fn drop(&mut self) {
        self.push(RETURN, 0);
    }

    pub(super) fn finish(mut self) -> Vec<Instruction> {
        for (at, label) in self.jumps {
            let distance = self.labels[label.0] - at - 1;
            self.instructions[at].k = distance.try_into().expect("programs are short");
        }
        self.instructions
    }

    /// Appends a conditional jump over an unconditional one, because a conditional jump reaches
    /// only 255 instructions.
    fn jump_if(&mut self, code: u16, k: u32, label: Label) {
        self.instructions.push(Instruction {
            code,
            jump_true: 0,
            jump_false: 1,
            k,
        });
        self.go_to(label);
    }

    fn push(&mut self, code: u16, k: u32) {
        self.instructions.push(Instruction {
            code,
            jump_true: 0,
            jump_false: 0,
            k,
        });
    }
}
