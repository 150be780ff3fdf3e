/// Bytes of a frame or packet as captured, and the length that it claims.
///
/// The two differ when it was cut short, by a snap length or a missing fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured<'a> {
    pub bytes: &'a [u8],
    /// How many bytes are claimed beyond those that are there. Taking a header off does not change
    /// it.
    missing: usize,
}

impl<'a> Captured<'a> {
    /// Bytes that are there whole.
    #[must_use]
    pub fn whole(bytes: &'a [u8]) -> Self {
        Self { bytes, missing: 0 }
    }

    /// `bytes`, of `length` that are claimed.
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

    /// The first `length` of `bytes`, which may be fewer. What follows them is padding.
    #[inline(always)]
    pub(super) fn claimed(bytes: &'a [u8], length: usize) -> Self {
        match bytes.get(..length) {
            Some(bytes) => Self::whole(bytes),
            None => Self::new(bytes, length),
        }
    }

    /// What is left once a header was taken off and `rest` remains of the bytes.
    #[inline(always)]
    pub(super) fn behind_header(self, rest: &'a [u8]) -> Self {
        Self {
            bytes: rest,
            ..self
        }
    }

    /// What is left behind a header of `size` bytes, which may itself be cut short.
    #[inline(always)]
    pub(super) fn skip(self, size: usize) -> Self {
        match self.bytes.get(size..) {
            Some(rest) => self.behind_header(rest),
            None => Self::new(&[], self.length().saturating_sub(size)),
        }
    }

    /// What is left behind a header of `length` bytes; `None` if the header is cut short.
    pub(super) fn behind_length(self, length: u32) -> Option<Self> {
        let length = usize::try_from(length).ok()?;
        self.bytes
            .get(length..)
            .map(|rest| self.behind_header(rest))
    }

    /// The same without the check sequence at its end, which has 4 bytes.
    pub(super) fn without_fcs(self) -> Self {
        Self::claimed(self.bytes, self.length().saturating_sub(4))
    }
}
