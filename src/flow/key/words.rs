//! Arrays of words, the form in which keys are hashed and compared.

use std::array;
use std::hash::Hasher;

/// An array of words that can be hashed, compared and masked.
///
/// A key is written and read in words of the same size for a reason. The processor forwards a value
/// from a store to a later load only if the store covers all of it. Written byte by byte and read
/// as words, a key would stall the processor for longer than the rest of the work takes.
pub trait Words {
    fn hash_into(&self, hasher: &mut impl Hasher);

    /// Compares all words without a branch in between. Nearly all comparisons are of equal keys, so
    /// stopping at the first difference would save nothing.
    fn equals(&self, other: &Self) -> bool;

    fn and(&self, other: &Self) -> Self;
}

impl<const N: usize> Words for [u32; N] {
    #[inline]
    fn hash_into(&self, hasher: &mut impl Hasher) {
        let (pairs, odd) = self.as_chunks::<2>();
        for &pair in pairs {
            hasher.write_u64(whole(pair));
        }
        for &word in odd {
            hasher.write_u32(word);
        }
    }

    #[inline]
    fn equals(&self, other: &Self) -> bool {
        let pairs = self.iter().zip(other);
        pairs.fold(0, |difference, (left, right)| difference | left ^ right) == 0
    }

    #[inline]
    fn and(&self, other: &Self) -> Self {
        array::from_fn(|word| self[word] & other[word])
    }
}

pub(super) fn halves(bits: u64) -> [u32; 2] {
    [bits >> 32, bits & u64::from(u32::MAX)]
        .map(|half| u32::try_from(half).expect("32 bits are left"))
}

pub(super) fn whole([high, low]: [u32; 2]) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}
