//! Identifies a stream that is not a pcap or pcapng capture by its first bytes, so that the error
//! message can name it and suggest what to do.

use std::fmt;

/// The kind of content found in a stream that is not a pcap or pcapng capture. Its `Display` text
/// is the error message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Unknown,
    /// Compressed or archived: its name, and the command that unpacks it to standard output.
    Packed(&'static str, &'static str),
    /// A capture in another format, which Wireshark can convert: its name, with an article.
    Capture(&'static str),
    /// Anything else: its name, and advice.
    Other(&'static str, &'static str),
}

use Content::{Capture, Other, Packed, Unknown};

impl Content {
    /// Number of bytes that [`of`](Self::of) examines. Fewer are enough at the end of the stream.
    pub(super) const ENOUGH: usize = 4096;

    pub(super) fn of(bytes: &[u8]) -> Self {
        let bytes = bytes.get(..Self::ENOUGH).unwrap_or(bytes);
        let known = MAGIC.iter().find(|(at, magic, _)| {
            let there = bytes.get(*at..);
            there.is_some_and(|there| there.starts_with(magic))
        });
        match known {
            Some((_, _, content)) => *content,
            None if is_text(bytes) => of_text(bytes),
            None if is_erf(bytes) => Capture("an ERF"),
            None if !bytes.is_empty() && bytes.iter().all(|&byte| byte == 0) => {
                Other("a run of zeros", "copy it again")
            }
            None => Unknown,
        }
    }
}

/// Offset, magic number and content. The magic numbers of captures come from
/// <https://github.com/wireshark/wireshark/tree/master/wiretap>.
const MAGIC: &[(usize, &[u8], Content)] = &[
    (0, b"\xfd7zXZ\0", Packed("xz data", "xz -dc FILE")),
    (0, b"BZh", Packed("bzip2 data", "bzip2 -dc FILE")),
    (0, b"LZIP", Packed("lzip data", "lzip -dc FILE")),
    (0, b"\x89LZO\0", Packed("lzop data", "lzop -dc FILE")),
    (0, b"\x1f\x9d", Packed("compress data", "gzip -dc FILE")),
    // `unpack` handles the next three formats. They are seen here only inside another compression.
    (0, b"\x1f\x8b", Packed("gzip data", "gzip -dc FILE")),
    (0, b"\x28\xb5\x2f\xfd", Packed("zstd data", "zstd -dc FILE")),
    (0, b"\x04\x22\x4d\x18", Packed("lz4 data", "lz4 -dc FILE")),
    (
        0,
        b"\x02\x21\x4c\x18",
        Packed("lz4 data of the legacy format", "lz4 -dc FILE"),
    ),
    (0, b"PK\x03\x04", Packed("a zip archive", "unzip -p FILE")),
    (
        0,
        b"7z\xbc\xaf\x27\x1c",
        Packed("a 7z archive", "7z x -so FILE"),
    ),
    (
        0,
        b"Rar!\x1a\x07",
        Packed("a RAR archive", "unrar p -inul FILE"),
    ),
    (257, b"ustar", Packed("a tar archive", "tar -xOf FILE")),
    (0, b"snoop\0\0\0", Capture("a snoop")),
    (0, b"RTSS", Capture("a NetMon")),
    (0, b"GMBU", Capture("a NetMon")),
    (0, b"TRSNIFF data    \x1a", Capture("a Sniffer")),
    (0, b"XCP\0", Capture("a NetXRay or Sniffer")),
    (0, b"btsnoop\0", Capture("a Bluetooth snoop")),
    (0, b"\xaa\xaa\xaa\xaa", Capture("a 5View")),
    (0, b"\x05VNF", Capture("a Visual Networks")),
    (0, b"ObserverPktBufferVersion=", Capture("an Observer")),
    (0, b"iptrace ", Capture("an AIX iptrace")),
    (0, b"+---------+-------", Capture("a K12 text")),
    (
        0,
        b"%PDF-",
        Other("a PDF document", "pass the capture file itself"),
    ),
];

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Analyzes the standard output of the suggested command.
        const ANALYZE: &str = "tzsp_packetstream_exporter analyze -";

        match self {
            Unknown => write!(f, "this is neither a pcap nor a pcapng capture"),
            Packed(what, command) => write!(
                f,
                "this is {what}, not a capture; unpack it: {command} | {ANALYZE}"
            ),
            Capture(what) => write!(
                f,
                "this is {what} capture, where pcap or pcapng was expected; convert it: \
                 tshark -r FILE -w - | {ANALYZE}"
            ),
            Other(what, advice) => write!(f, "this is {what}, not a capture; {advice}"),
        }
    }
}

/// Whether these bytes are printable UTF-8. The last character may be incomplete, because the bytes
/// are a prefix of the stream.
fn is_text(bytes: &[u8]) -> bool {
    let is_control = |byte: &u8| matches!(byte, 0..=8 | 11 | 12 | 14..=31 | 127);
    let whole = match std::str::from_utf8(bytes) {
        Ok(text) => text.len(),
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => 0,
    };
    whole > 0 && !bytes.iter().any(is_control)
}

/// Identifies the kind of text.
fn of_text(bytes: &[u8]) -> Content {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    const WRITE_ONE: &str = "write one with: tcpdump -w FILE, or tshark -w FILE";

    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let text = text.trim_ascii_start();
    let begins = |with: &str| {
        let begin = text.get(..with.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(with.as_bytes()))
    };
    if begins("version https://git-lfs.github.com/spec/") {
        return Other("a Git LFS pointer", "fetch the real file: git lfs pull");
    }
    if begins("<!doctype html") || begins("<html") {
        return Other(
            "an HTML page",
            "it may say why there was no capture to download",
        );
    }
    if begins("<?xml") {
        return Other("XML", WRITE_ONE);
    }
    if begins("{") || begins("[") {
        return Other("JSON", WRITE_ONE);
    }
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    if is_xxd(line) {
        return Packed("a hex dump", "xxd -r FILE");
    }
    if is_hex_dump(line) {
        return Packed("a hex dump", "text2pcap FILE -");
    }
    if is_printed_packet(line) {
        return Other("the text output of tcpdump", WRITE_ONE);
    }
    Other("text", WRITE_ONE)
}

/// Whether this is a line of `xxd`: `00000000: d4c3 b2a1 0200 0400`.
fn is_xxd(line: &[u8]) -> bool {
    let mut words = line.split(|&byte| byte == b' ');
    let offset = words.next().and_then(|word| word.strip_suffix(b":"));
    offset.is_some_and(|offset| offset.len() >= 8 && is_hex(offset))
        && words
            .next()
            .is_some_and(|word| word.len() == 4 && is_hex(word))
}

/// Whether this is the first line of a hex dump: `0000  dc a6 32 33`, with an offset of four or
/// more digits.
fn is_hex_dump(line: &[u8]) -> bool {
    let words = line.split(|&byte| byte == b' ');
    let mut words = words.filter(|word| !word.is_empty());
    words
        .next()
        .is_some_and(|offset| offset.len() >= 4 && offset.iter().all(|&byte| byte == b'0'))
        && (0..4).all(|_| {
            words
                .next()
                .is_some_and(|word| word.len() == 2 && is_hex(word))
        })
}

fn is_hex(word: &[u8]) -> bool {
    word.iter().all(u8::is_ascii_hexdigit)
}

/// Whether tcpdump printed this line: `22:13:20.123456 IP 192.168.88.1.37008 > ...`, with a time in
/// any of tcpdump's formats.
fn is_printed_packet(line: &[u8]) -> bool {
    let words: Vec<_> = line.split(|&byte| byte == b' ').take(3).collect();
    let is_number = |byte: &u8| byte.is_ascii_digit() || b":.-".contains(byte);
    words.first().is_some_and(|word| word.iter().all(is_number))
        && words
            .iter()
            .any(|word| [&b"IP"[..], b"IP6", b"ARP,"].contains(word))
}

/// Whether these bytes begin with ERF records. ERF has no magic number, so two consecutive records
/// with plausible values are required.
///
/// ```text
///  +-----------+---------+------+-------+---------------+------+-------------+
///  | fraction  | seconds | type | flags | record length | lost | wire length |
///  |  4 bytes  |    4    |  1   |   1   |       2       |  2   |      2      |
///  +-----------+---------+------+-------+---------------+------+-------------+
/// ```
///
/// The time is little endian, all else is big endian.
fn is_erf(bytes: &[u8]) -> bool {
    let Some((first, length)) = erf_record(bytes) else {
        return false;
    };
    let second = bytes.get(length..).and_then(erf_record);
    second.is_some_and(|(second, _)| {
        // Metadata records may have no time.
        const DAY: u32 = 24 * 60 * 60;
        first == 0 || second == 0 || first.abs_diff(second) < DAY
    })
}

/// The seconds and the length in bytes of a record whose values are plausible.
fn erf_record(bytes: &[u8]) -> Option<(u32, usize)> {
    /// The record types assigned so far. The highest bit of the field is a flag: more headers
    /// follow.
    const TYPES: std::ops::RangeInclusive<u8> = 1..=48;
    const HEADER: u16 = 16;

    let [
        _,
        _,
        _,
        _,
        s0,
        s1,
        s2,
        s3,
        kind,
        _,
        high,
        low,
        _,
        _,
        wire_high,
        wire_low,
        ..,
    ] = *bytes
    else {
        return None;
    };
    let length = u16::from_be_bytes([high, low]);
    let wire_length = u16::from_be_bytes([wire_high, wire_low]);
    let makes_sense = TYPES.contains(&(kind & 0x7f))
        && length >= HEADER
        && length.is_multiple_of(8)
        && wire_length > 0;
    makes_sense.then(|| (u32::from_le_bytes([s0, s1, s2, s3]), usize::from(length)))
}

#[cfg(test)]
mod tests;
