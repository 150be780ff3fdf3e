//! A fast writer of lines, or of binary records, that consist of many short parts: a scrape may have
//! millions of them.
//!
//! Copying a number of bytes that is only known at run time is a call to `memcpy`. So each part is
//! kept in a block of fixed size, longer than the part, and the whole block is copied, which takes
//! a few instructions. The next part overwrites what was copied too much. Hence every line needs
//! room for one block behind its end: see [`MAX_LINE`].

use std::io::{self, Write};

use super::word::{BLOCK, Word};
use crate::flow::WHOLE;
use crate::wire::Ip;

/// Text is written in chunks of about this many bytes.
const CHUNK: usize = 64 * 1024;
/// More bytes than any line has, with a block behind its end. A test writes the longest line.
const MAX_LINE: usize = 2048;
/// The decimal digits of the numbers below 1000.
static NUMBERS: [Number; 1000] = numbers();

/// The digits of a number, followed by a dot for IPv4 addresses.
#[derive(Debug, Clone, Copy)]
struct Number {
    block: [u8; 4],
    /// How many digits there are.
    digits: u8,
}

/// A line that is being written.
#[derive(Debug)]
pub(super) struct Line<'a> {
    buffer: &'a mut [u8; MAX_LINE],
    /// How many bytes the line has so far. The bytes behind are left over from copied blocks.
    end: usize,
}

/// Buffered lines.
#[derive(Debug)]
pub(super) struct Text<'a, W> {
    out: &'a mut W,
    /// Lines up to `end`; behind it there is always room for another one.
    chunk: Vec<u8>,
    end: usize,
}

impl<'a, W: Write> Text<'a, W> {
    pub(super) fn new(out: &'a mut W) -> Self {
        Self {
            out,
            chunk: vec![0; CHUNK + MAX_LINE],
            end: 0,
        }
    }

    /// Writes a line.
    #[inline]
    pub(super) fn push(&mut self, write: impl FnOnce(&mut Line<'_>)) -> io::Result<()> {
        self.push_record(|line| {
            write(line);
            line.push_bytes(b"\n");
        })
    }

    /// Writes the same without the end of a line.
    #[inline]
    pub(super) fn push_record(&mut self, write: impl FnOnce(&mut Line<'_>)) -> io::Result<()> {
        let buffer = self.chunk[self.end..].first_chunk_mut();
        let buffer = buffer.expect("a chunk is written before a line might not fit");
        let mut line = Line { buffer, end: 0 };
        write(&mut line);
        self.end += line.end;
        if self.end >= CHUNK {
            self.flush()?;
        }
        Ok(())
    }

    /// Hands all buffered lines to the output.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.chunk[..self.end])?;
        self.end = 0;
        Ok(())
    }
}

impl Line<'_> {
    /// Returns the number of bytes written so far.
    pub(super) fn len(&self) -> usize {
        self.end
    }

    /// Calls a function with a copy of this line, for rare or slow parts. A reference to the line
    /// itself would keep its end in memory instead of a register.
    #[inline]
    pub(super) fn copied(&mut self, write: impl FnOnce(&mut Line<'_>)) {
        let mut line = Line {
            buffer: self.buffer,
            end: self.end,
        };
        write(&mut line);
        self.end = line.end;
    }

    /// Returns a block of the line, if it has room for one at this position.
    #[inline]
    pub(super) fn block<const N: usize>(&self, position: usize) -> Option<&[u8; N]> {
        self.buffer.get(position..)?.first_chunk()
    }

    /// Replaces bytes that were written before.
    #[inline]
    pub(super) fn set<const N: usize>(&mut self, position: usize, bytes: [u8; N]) {
        self.buffer[position..][..N].copy_from_slice(&bytes);
    }

    /// Replaces `old` bytes at a position by `new`, and moves what follows.
    pub(super) fn replace(&mut self, position: usize, old: usize, new: &[u8]) {
        let behind = position + new.len();
        self.buffer.copy_within(position + old..self.end, behind);
        self.buffer[position..behind].copy_from_slice(new);
        self.end = self.end - old + new.len();
    }

    /// Appends short bytes.
    pub(super) fn push_slice(&mut self, bytes: &[u8]) {
        self.buffer[self.end..][..bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    #[inline]
    pub(super) fn push(&mut self, word: &Word) {
        let length = word.len();
        if length <= BLOCK {
            self.push_block(&word.block, length);
        } else {
            self.push_slice(&word.long);
        }
    }

    /// Appends an address with its prefix length, unless that is [`WHOLE`].
    #[expect(
        clippy::inline_always,
        reason = "passed on in memory, an address takes longer to copy"
    )]
    #[inline(always)]
    pub(super) fn push_address(&mut self, address: Ip, prefix: u8) {
        match address {
            Ip::V4(bits) => self.push_ipv4(bits),
            Ip::V6(..) => self.copied(|line| line.push_ipv6(address)),
        }
        if prefix != WHOLE {
            self.push_bytes(b"/");
            self.push_number(prefix.into());
        }
    }

    /// Appends a decimal number.
    #[inline]
    pub(super) fn push_number(&mut self, number: u64) {
        let last = NUMBERS[usize::try_from(number % 1000).expect("it is below 1000")];
        if number >= 1000 {
            let thousands = number / 1000;
            match usize::try_from(thousands).map(|index| NUMBERS.get(index)) {
                Ok(Some(first)) => self.push_block(&first.block, first.digits.into()),
                _ => self.copied(|line| line.push_number(thousands)),
            }
            // The leading zeros of the last group.
            self.push_block(b"00", 3 - usize::from(last.digits));
        }
        self.push_block(&last.block, last.digits.into());
    }

    /// Appends a label value, and escapes what the text formats require.
    pub(super) fn push_escaped(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                b'\\' => self.push_bytes(br"\\"),
                b'"' => self.push_bytes(b"\\\""),
                b'\n' => self.push_bytes(br"\n"),
                byte => self.push_bytes(&[byte]),
            }
        }
    }

    fn push_ipv4(&mut self, bits: u32) {
        for octet in bits.to_be_bytes() {
            let Number { block, digits } = NUMBERS[usize::from(octet)];
            self.push_block(&block, usize::from(digits) + 1);
        }
        // Removes the dot behind the last octet.
        self.end -= 1;
    }

    #[inline(never)]
    fn push_ipv6(&mut self, address: Ip) {
        let mut rest = &mut self.buffer[self.end..];
        write!(rest, "{address}").expect("the line has room for an address");
        self.end = MAX_LINE - rest.len();
    }

    /// Appends a few constant bytes.
    #[inline]
    pub(super) fn push_bytes<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.push_block(bytes, N);
    }

    /// Appends the first `length` bytes of a block, by copying all of it.
    #[inline]
    pub(super) fn push_block<const N: usize>(&mut self, block: &[u8; N], length: usize) {
        // One check here lets the compiler omit those of the two slices below.
        assert!(self.end <= MAX_LINE - N, "the line has room for a block");
        self.buffer[self.end..][..N].copy_from_slice(block);
        self.end += length;
    }
}

/// Returns the number of digits of an octet.
#[inline]
pub(super) fn octet_digits(octet: u8) -> usize {
    NUMBERS[usize::from(octet)].digits.into()
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
    use std::net::IpAddr;

    use super::*;

    #[track_caller]
    fn check(push: impl Fn(&mut Line<'_>), expected: &str) {
        let mut out = Vec::new();
        let mut text = Text::new(&mut out);
        text.push(push).expect("writing to a Vec does not fail");
        text.flush().expect("writing to a Vec does not fail");
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
    fn addresses_are_written_as_by_the_standard_library() {
        for address in [
            "0.0.0.0",
            "1.20.255.9",
            "10.99.100.199",
            "255.255.255.255",
            "::",
            "2001:db8::1",
            "::ffff:1.2.3.4",
        ] {
            let parsed: IpAddr = address.parse().expect("an address");
            let parsed = parsed.into();
            check(|line| line.push_address(parsed, WHOLE), address);
            check(
                |line| line.push_address(parsed, 24),
                &format!("{address}/24"),
            );
        }
    }

    #[test]
    fn label_values_are_escaped() {
        check(
            |line| line.push_escaped("K\u{fc}che \"1\" \\010\n"),
            r#"Küche \"1\" \\010\n"#,
        );
    }

    #[test]
    fn words_longer_than_a_block_are_written_whole() {
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
