/// The rest of a packet: the bytes that are there, and how many the headers before it claim.
///
/// The two differ when the packet was cut short, by a snap length or a missing fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    pub bytes: &'a [u8],
    pub length: usize,
}

impl<'a> Part<'a> {
    /// A part that is there whole.
    #[must_use]
    pub fn whole(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            length: bytes.len(),
        }
    }

    /// The part that `length` claims. Bytes beyond it are padding and do not belong.
    #[inline(always)]
    pub(super) fn claimed(bytes: &'a [u8], length: usize) -> Self {
        Self {
            bytes: bytes.get(..length).unwrap_or(bytes),
            length,
        }
    }

    /// What is left of this part once a header was read and `rest` remains of its bytes.
    #[inline(always)]
    pub(super) fn behind_header(self, rest: &'a [u8]) -> Self {
        let header = self.bytes.len().saturating_sub(rest.len());
        Self {
            bytes: rest,
            length: self.length.saturating_sub(header),
        }
    }

    /// What is left behind a header of `size` bytes, parts of which may have been cut away.
    #[inline(always)]
    pub(super) fn skip(self, size: usize) -> Self {
        Self {
            bytes: self.bytes.get(size..).unwrap_or_default(),
            length: self.length.saturating_sub(size),
        }
    }
}
