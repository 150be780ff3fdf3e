//! Other systems have no limits of memory that the program reads.

use super::Ceiling;

pub(super) fn limits() -> impl Iterator<Item = Ceiling> {
    std::iter::empty()
}

pub(super) fn machine() -> Option<Ceiling> {
    None
}
