//! Lines of text that are put together from small parts, millions of lines for each scrape.
//!
//! A part is copied in a block of fixed size, and the next one begins where the part ends: that
//! takes a few instructions, where copying just so many bytes takes a call.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};

/// Text is handed on in pieces of about this size.
const PIECE: usize = 64 * 1024;
/// No line is longer, a block behind it included: a test writes the longest.
const LONGEST_LINE: usize = 1024;
/// Nearly all words fit. Larger blocks would take longer.
const BLOCK: usize = 32;

/// The numbers below 1000.
static NUMBERS: [Number; 1000] = numbers();

/// The digits of a number, and a dot behind these.
#[derive(Debug, Clone, Copy)]
struct Number {
    block: [u8; 4],
    digits: u8,
}

/// A part that is pushed again and again.
#[derive(Debug)]
pub(super) struct Word {
    text: Box<str>,
    block: [u8; BLOCK],
}

/// A line as it grows.
#[derive(Debug)]
pub(super) struct Line<'a> {
    room: &'a mut [u8; LONGEST_LINE],
    end: usize,
}

/// Lines on their way out.
#[derive(Debug)]
pub(super) struct Text<'a, W> {
    out: &'a mut W,
    /// Filled up to `end`.
    piece: Vec<u8>,
    end: usize,
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
}

impl<'a, W: Write> Text<'a, W> {
    pub(super) fn new(out: &'a mut W) -> Self {
        Self {
            out,
            piece: vec![0; PIECE + LONGEST_LINE],
            end: 0,
        }
    }

    /// Adds a line.
    #[inline]
    pub(super) fn push(&mut self, write: impl FnOnce(&mut Line<'_>)) -> io::Result<()> {
        let room = self.piece[self.end..].first_chunk_mut();
        let room = room.expect("a piece is handed on before there is no room for a line");
        let mut line = Line { room, end: 0 };
        write(&mut line);
        line.push_bytes(b"\n");
        self.end += line.end;
        if self.end >= PIECE {
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.piece[..self.end])?;
        self.end = 0;
        Ok(())
    }
}

impl Line<'_> {
    #[inline]
    pub(super) fn push(&mut self, word: &Word) {
        let length = word.text.len();
        if length <= BLOCK {
            self.push_block(&word.block, length);
        } else {
            self.room[self.end..][..length].copy_from_slice(word.text.as_bytes());
            self.end += length;
        }
    }

    /// An address, IPv6 as RFC 5952 wants it.
    #[inline]
    pub(super) fn push_address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.push_ipv4(address),
            IpAddr::V6(address) => {
                let mut room = &mut self.room[self.end..];
                write!(room, "{address}").expect("a line has room for it");
                self.end = LONGEST_LINE - room.len();
            }
        }
    }

    #[inline]
    fn push_ipv4(&mut self, address: Ipv4Addr) {
        for octet in address.octets() {
            let Number { block, digits } = NUMBERS[usize::from(octet)];
            self.push_block(&block, usize::from(digits) + 1);
        }
        // The last dot.
        self.end -= 1;
    }

    #[inline]
    pub(super) fn push_number(&mut self, number: u64) {
        let last = NUMBERS[usize::try_from(number % 1000).expect("it is below 1000")];
        if number >= 1000 {
            self.push_thousands(number / 1000, 3 - usize::from(last.digits));
        }
        self.push_block(&last.block, last.digits.into());
    }

    /// A number, and the zeros between it and the digits that follow.
    fn push_thousands(&mut self, number: u64, zeros: usize) {
        self.push_number(number);
        self.push_block(b"00", zeros);
    }

    /// Few bytes, as they stand in the code.
    #[inline]
    pub(super) fn push_bytes<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.push_block(bytes, N);
    }

    /// The first bytes of a block, so many.
    #[inline]
    fn push_block<const N: usize>(&mut self, block: &[u8; N], length: usize) {
        // Said once, the compiler need not check it twice.
        assert!(self.end <= LONGEST_LINE - N, "a line has room for it");
        self.room[self.end..][..N].copy_from_slice(block);
        self.end += length;
    }
}

const fn numbers() -> [Number; 1000] {
    const DIGITS: &[u8; 10] = b"0123456789";
    let mut numbers = [Number {
        block: [0; 4],
        digits: 0,
    }; 1000];
    let mut number = 0;
    while number < 1000 {
        let [hundreds, tens, ones] = [number / 100, number / 10 % 10, number % 10];
        let [hundreds, tens, ones] = [DIGITS[hundreds], DIGITS[tens], DIGITS[ones]];
        let (block, digits) = match number {
            0..10 => ([ones, b'.', 0, 0], 1),
            10..100 => ([tens, ones, b'.', 0], 2),
            _ => ([hundreds, tens, ones, b'.'], 3),
        };
        numbers[number] = Number { block, digits };
        number += 1;
    }
    numbers
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;

    #[track_caller]
    fn check(push: impl Fn(&mut Line<'_>), expected: &str) {
        let mut out = Vec::new();
        let mut text = Text::new(&mut out);
        text.push(push).expect("a Vec takes everything");
        text.flush().expect("a Vec takes everything");
        assert_eq!(
            String::from_utf8(out).expect("text"),
            format!("{expected}\n")
        );
    }

    #[test]
    fn numbers_are_decimal() {
        let powers = iter::successors(Some(1_u64), |power| power.checked_mul(10));
        let around = powers.flat_map(|power| [power - 1, power, power + 1]);
        for number in around.chain(0..2000).chain([1_002_003, u64::MAX]) {
            check(|line| line.push_number(number), &number.to_string());
        }
    }

    #[test]
    fn addresses_are_those_of_the_standard_library() {
        for address in [
            "0.0.0.0",
            "1.20.255.9",
            "10.99.100.199",
            "255.255.255.255",
            "::",
            "2001:db8::1",
            "::ffff:1.2.3.4",
        ] {
            let parsed = address.parse().expect("an address");
            check(|line| line.push_address(parsed), address);
        }
    }

    #[test]
    fn words_of_any_length_are_whole() {
        for length in [0, 1, 31, 32, 33, 100] {
            let word = Word::new("x".repeat(length));
            let expected = "x".repeat(length) + "1";
            check(
                |line| {
                    line.push(&word);
                    line.push_number(1);
                },
                &expected,
            );
        }
    }
}
