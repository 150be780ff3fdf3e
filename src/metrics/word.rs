//! Text that occurs in many lines, in a form that is fast to copy: see [`text`](super::text).

/// Bytes in the block of a word. Nearly all words fit; copying larger blocks would take longer.
pub(super) const BLOCK: usize = 32;

/// A part that occurs in many lines.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) text: Box<str>,
    /// The beginning of the text, or all of it, padded with zeros.
    pub(super) block: [u8; BLOCK],
}

impl Word {
    pub(super) fn new(text: impl Into<Box<str>>) -> Self {
        let text = text.into();
        let mut block = [0; BLOCK];
        for (to, from) in block.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Self { text, block }
    }

    pub(super) fn len(&self) -> usize {
        self.text.len()
    }
}
