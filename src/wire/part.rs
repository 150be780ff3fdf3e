/// The rest of a packet: the bytes that are there, and how many the headers before it claim.
///
/// The two differ when the packet was cut short, by a snap length or a missing fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    pub bytes: &'a [u8],
    /// How many bytes are claimed behind those that are there. Reading on leaves this as it is.
    missing: usize,
}

impl<'a> Part<'a> {
    /// A part that is there whole.
    #[must_use]
    pub fn whole(bytes: &'a [u8]) -> Self {
        Self { bytes, missing: 0 }
    }

    /// A part of `length` bytes, as many of which are there as `bytes` holds.
    #[must_use]
    #[inline]
    pub fn new(bytes: &'a [u8], length: usize) -> Self {
        Self {
            bytes,
            missing: length.saturating_sub(bytes.len()),
        }
    }

    /// How many bytes are claimed.
    #[must_use]
    #[inline]
    pub fn length(self) -> usize {
        self.bytes.len().saturating_add(self.missing)
    }

    /// The part that `length` claims. Bytes beyond it are padding and do not belong.
    #[inline(always)]
    pub(super) fn claimed(bytes: &'a [u8], length: usize) -> Self {
        match bytes.get(..length) {
            Some(bytes) => Self::whole(bytes),
            None => Self::new(bytes, length),
        }
    }

    /// What is left of this part once a header was read and `rest` remains of its bytes.
    #[inline(always)]
    pub(super) fn behind_header(self, rest: &'a [u8]) -> Self {
        Self {
            bytes: rest,
            ..self
        }
    }

    /// What is left behind a header of `size` bytes, parts of which may have been cut away.
    #[inline(always)]
    pub(super) fn skip(self, size: usize) -> Self {
        match self.bytes.get(size..) {
            Some(rest) => self.behind_header(rest),
            None => Self::new(&[], self.length().saturating_sub(size)),
        }
    }
}
