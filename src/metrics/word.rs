//! Bytes that occur in many lines or messages, in a form that is fast to copy: see
//! [`text`](super::text).

/// Bytes in the block of a word. Nearly all words fit; copying larger blocks would take longer.
pub(super) const BLOCK: usize = 32;

/// A part that occurs in many lines or messages.
#[derive(Debug)]
pub(super) struct Word {
    length: usize,
    /// The bytes, padded with zeros; or their beginning, if they do not fit.
    pub(super) block: [u8; BLOCK],
    /// All bytes, if they do not fit into the block.
    pub(super) long: Box<[u8]>,
}

impl Word {
    pub(super) fn new(bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        let in_block = bytes.len().min(BLOCK);
        let mut block = [0; BLOCK];
        block[..in_block].copy_from_slice(&bytes[..in_block]);
        let long = if bytes.len() > BLOCK { bytes } else { &[] };
        Self {
            length: bytes.len(),
            block,
            long: long.into(),
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.length
    }
}

/// A label as lines or messages have it. It is encoded once, and copied for each series.
#[derive(Debug)]
pub(super) struct EncodedLabel {
    /// The name, as it is beside a value that is not a word.
    pub(super) name: Word,
    /// The label with each of its words as the value.
    pub(super) words: Vec<Word>,
}
