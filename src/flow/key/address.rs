//! The addresses of keys, and how they are packed.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::words::{Words, halves, whole};
use crate::flow::class::{Lengths, WHOLE};

/// The type of the addresses in a key: `Ipv4Addr` in narrow keys, `IpAddr` in wide ones.
pub trait Address: Copy + Ord + Into<IpAddr> + Send + Sync {
    type Words: Copy + Words + Debug;
    /// Bytes of a flow's slot that would otherwise be padding; or none, and the alignment of the
    /// slot.
    type Spare: Copy + Default + Debug + AsRef<[u8]> + AsMut<[u8]>;
    /// Whether a key with such addresses is of the wide kind.
    const WIDE: bool;
    /// The value in a key where the address is not shown.
    const PLACEHOLDER: Self;

    /// Returns the address with all bits behind the prefix set to zero, and the number of bits in
    /// the prefix, or [`WHOLE`] if nothing was cut off.
    #[must_use]
    fn shown(self, lengths: Lengths) -> (Self, u8);

    /// Returns an address that stands for a number in a key, and keeps the IP version.
    #[must_use]
    fn with_number(self, number: u32) -> Self;

    /// Reverses [`with_number`](Self::with_number): returns the number, and an address that is not
    /// shown.
    fn number(self) -> (Self, u32);

    /// Packs source, destination and sensor, followed by two numbers. The lowest 4 bits of the second
    /// number must be zero: implementations may use them.
    fn pack(addresses: [Self; 3], numbers: [u64; 2]) -> Self::Words;

    /// Reverses [`pack`](Self::pack).
    fn unpack(words: &Self::Words) -> Unpacked<Self>;
}

impl Address for Ipv4Addr {
    type Words = [u32; 7];
    type Spare = CacheLine;
    const WIDE: bool = false;
    const PLACEHOLDER: Self = Self::UNSPECIFIED;

    fn shown(self, lengths: Lengths) -> (Self, u8) {
        match u32::MAX.checked_shr(lengths.ipv4.into()) {
            None | Some(0) => (self, WHOLE),
            Some(hidden) => (Self::from_bits(self.to_bits() & !hidden), lengths.ipv4),
        }
    }

    #[inline]
    fn with_number(self, number: u32) -> Self {
        Self::from_bits(number)
    }

    fn number(self) -> (Self, u32) {
        (Self::PLACEHOLDER, self.to_bits())
    }

    #[inline]
    fn pack(addresses: [Self; 3], numbers: [u64; 2]) -> [u32; 7] {
        let [source, destination, sensor] = addresses.map(Self::to_bits);
        let [[a1, a2], [b1, b2]] = numbers.map(halves);
        [source, destination, sensor, a1, a2, b1, b2]
    }

    #[inline]
    fn unpack(&[source, destination, sensor, a1, a2, b1, b2]: &Self::Words) -> Unpacked<Self> {
        let addresses = [source, destination, sensor].map(Self::from_bits);
        (addresses, [[a1, a2], [b1, b2]].map(whole))
    }
}

impl Address for IpAddr {
    type Words = [u32; 16];
    type Spare = [u8; 4];
    const WIDE: bool = true;
    const PLACEHOLDER: Self = Self::V4(Ipv4Addr::PLACEHOLDER);

    fn shown(self, lengths: Lengths) -> (Self, u8) {
        match self {
            Self::V4(address) => {
                let (shown, prefix) = address.shown(lengths);
                (shown.into(), prefix)
            }
            Self::V6(address) => match u128::MAX.checked_shr(lengths.ipv6.into()) {
                None | Some(0) => (self, WHOLE),
                Some(hidden) => {
                    let shown = Ipv6Addr::from_bits(address.to_bits() & !hidden);
                    (shown.into(), lengths.ipv6)
                }
            },
        }
    }

    fn with_number(self, number: u32) -> Self {
        match self {
            Self::V4(address) => address.with_number(number).into(),
            Self::V6(_) => Ipv6Addr::from_bits(number.into()).into(),
        }
    }

    fn number(self) -> (Self, u32) {
        match self {
            Self::V4(address) => {
                let (address, number) = address.number();
                (address.into(), number)
            }
            Self::V6(address) => {
                let [.., a, b, c, d] = address.octets();
                (
                    Ipv6Addr::UNSPECIFIED.into(),
                    u32::from_be_bytes([a, b, c, d]),
                )
            }
        }
    }

    /// Stores in the free bits which addresses are IPv6: 10.0.0.1 and ::a00:1 have the same bits.
    #[inline]
    fn pack(addresses: [Self; 3], [first, mut last]: [u64; 2]) -> [u32; 16] {
        for (position, address) in addresses.iter().enumerate() {
            last |= u64::from(address.is_ipv6()) << position;
        }
        let [source, destination, sensor] = addresses.map(|address| match address {
            Self::V4(address) => u128::from(address.to_bits()),
            Self::V6(address) => address.to_bits(),
        });
        let addresses = [source, destination, sensor].map(wide_halves);
        let numbers = addresses.into_iter().flatten().chain([first, last]);
        let mut words = [0; 16];
        for (pair, number) in words.chunks_exact_mut(2).zip(numbers) {
            pair.copy_from_slice(&halves(number));
        }
        words
    }

    fn unpack(words: &[u32; 16]) -> Unpacked<Self> {
        let (pairs, _) = words.as_chunks::<2>();
        let mut numbers = pairs.iter().map(|&pair| whole(pair));
        let mut next = || numbers.next().expect("there are eight pairs");
        let [source, destination, sensor] = [(); 3].map(|()| [next(), next()]);
        let [first, last] = [next(), next()];
        let mut position = 0;
        let addresses = [source, destination, sensor].map(|[high, low]| {
            let bits = u128::from(high) << 64 | u128::from(low);
            let is_ipv6 = last & 1 << position != 0;
            position += 1;
            if is_ipv6 {
                Ipv6Addr::from_bits(bits).into()
            } else {
                let [.., a, b, c, d] = bits.to_be_bytes();
                Ipv4Addr::new(a, b, c, d).into()
            }
        });
        (addresses, [first, last])
    }
}

/// Source, destination and sensor, and two numbers.
type Unpacked<A> = ([A; 3], [u64; 2]);

/// Aligns a value to the cache lines of the processor, so that reading a slot of 64 bytes loads one
/// line instead of two.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub struct CacheLine;

impl AsRef<[u8]> for CacheLine {
    fn as_ref(&self) -> &[u8] {
        &[]
    }
}

impl AsMut<[u8]> for CacheLine {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut []
    }
}

fn wide_halves(bits: u128) -> [u64; 2] {
    [bits >> 64, bits & u128::from(u64::MAX)]
        .map(|half| u64::try_from(half).expect("64 bits are left"))
}
