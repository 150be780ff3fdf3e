//! A simple walk along the chain of lengths, written independently of the reader. It finds the
//! records of a capture while the chain is intact.

use std::ops::Range;

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// After the last record.
    Whole,
    /// In a record that reaches past the end, or in zeros that reach to the end.
    Cut,
    /// At bytes that cannot be a header.
    Broken,
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Pcap { header: usize, may_be_swapped: bool },
    Pcapng,
}

#[derive(Debug, Clone, Copy)]
struct Kind {
    format: Format,
    is_big_endian: bool,
}

/// Returns the byte ranges of the records or blocks that contain frames, and how the walk ended.
pub(crate) fn walk(capture: &[u8]) -> (Vec<Range<usize>>, Ending) {
    let mut records = Vec::new();
    let mut kind = None;
    let mut at = 0;
    loop {
        let rest = &capture[at..];
        if rest.is_empty() {
            return (records, Ending::Whole);
        }
        if let Some(begun) = begin(rest) {
            kind = Some(begun);
            if let Format::Pcap { .. } = begun.format {
                at += 24;
                continue;
            }
        }
        let Some(kind) = kind else {
            return (records, Ending::Broken);
        };
        let zeros = rest.iter().take_while(|&&byte| byte == 0).count();
        let is_cut_in_zeros = zeros == rest.len();
        match kind.record(rest) {
            _ if zeros >= 512 && !is_cut_in_zeros => return (records, Ending::Broken),
            _ if zeros >= 512 => return (records, Ending::Cut),
            Err(ending) => return (records, ending),
            Ok((size, holds_a_frame)) => {
                if holds_a_frame {
                    records.push(at..at + size);
                }
                at += size;
            }
        }
    }
}

/// Reads the header of a capture, if one begins here.
fn begin(bytes: &[u8]) -> Option<Kind> {
    let header = bytes.get(..24)?;
    let is_big_endian = header[0] == 0xa1 || header[8] == 0x1a;
    let kind = |format| Kind {
        format,
        is_big_endian,
    };
    let magic = u32::from_be_bytes(header[..4].try_into().unwrap());
    let header_size = match magic {
        0x0a0d_0d0a if [0x1a2b_3c4d, 0x4d3c_2b1a].contains(&word(header, 8, true)) => {
            return Some(kind(Format::Pcapng));
        }
        0xa1b2_c3d4 | 0xa1b2_3c4d | 0xd4c3_b2a1 | 0x4d3c_b2a1 => 16,
        0xa1b2_cd34 | 0x34cd_b2a1 => 24,
        _ => return None,
    };
    let [major, minor] = if is_big_endian {
        [header[5], header[7]]
    } else {
        [header[4], header[6]]
    };
    let is_pcap = major == 2 && minor <= 4 && header[8..16] == [0; 8];
    is_pcap.then_some(kind(Format::Pcap {
        header: header_size,
        may_be_swapped: minor < 4,
    }))
}

impl Kind {
    /// Returns the size of the record or block at the front, and whether it contains a frame.
    fn record(self, bytes: &[u8]) -> Result<(usize, bool), Ending> {
        let word = |at| word(bytes, at, self.is_big_endian) as usize;
        let (size, holds_a_frame) = match self.format {
            Format::Pcap { header, .. } if bytes.len() < header => return Err(Ending::Cut),
            Format::Pcapng if bytes.len() < 12 => return Err(Ending::Cut),
            Format::Pcap {
                header,
                may_be_swapped,
            } => {
                let [captured, original] = [word(8), word(12)];
                let captured = if may_be_swapped {
                    captured.min(original)
                } else {
                    captured
                };
                // The limit for captures whose snap length is not larger.
                if captured > 262_144 {
                    return Err(Ending::Broken);
                }
                (header + captured, true)
            }
            Format::Pcapng => {
                let size = word(4);
                if size % 4 != 0 || !(12..=16 << 20).contains(&size) {
                    return Err(Ending::Broken);
                }
                let trailer = bytes.get(size - 4..size);
                if trailer.is_some_and(|trailer| trailer != &bytes[4..8]) {
                    return Err(Ending::Broken);
                }
                (size, [2, 3, 6].contains(&word(0)))
            }
        };
        if size > bytes.len() {
            return Err(Ending::Cut);
        }
        Ok((size, holds_a_frame))
    }
}

fn word(bytes: &[u8], at: usize, is_big_endian: bool) -> u32 {
    let word = bytes[at..at + 4].try_into().unwrap();
    if is_big_endian {
        u32::from_be_bytes(word)
    } else {
        u32::from_le_bytes(word)
    }
}
