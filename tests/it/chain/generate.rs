//! Generates captures of every kind from a seed, together with the frames they contain.

use std::ops::Range;
use std::time::Duration;

/// A frame and the byte range of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) at: Duration,
    pub(crate) link: u16,
    pub(crate) bytes: Vec<u8>,
    pub(crate) length: usize,
    pub(crate) record: Range<usize>,
}

#[derive(Default)]
pub(crate) struct Capture {
    pub(crate) bytes: Vec<u8>,
    pub(crate) frames: Vec<Expected>,
}

/// The kind of captures to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// A single capture, none of whose packets carries a capture.
    Plain,
    /// Times in order and correct lengths, as in nearly all captures.
    Ordinary,
    /// Any times, any lengths and any snap length.
    Odd,
}

/// SplitMix64: <https://prng.di.unimi.it/splitmix64.c>.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    pub(crate) fn u32(&mut self) -> u32 {
        (self.next() >> 32) as u32
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[7]
    }

    fn choose<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    fn bytes(&mut self, size: usize) -> Vec<u8> {
        (0..size).map(|_| self.byte()).collect()
    }
}

/// Generates one to three captures, appended to each other.
pub(crate) fn stream(random: &mut Random, style: Style) -> Capture {
    if style == Style::Plain {
        return capture(random, style, 60, 0);
    }
    let mut stream = Capture::default();
    for _ in 0..random.choose(&[1, 1, 1, 2, 3]) {
        let records = random.choose(&[0, 1, 3, 20, 60]);
        let part = capture(random, style, records, 2);
        let offset = stream.bytes.len();
        stream.bytes.extend(part.bytes);
        stream
            .frames
            .extend(part.frames.into_iter().map(|mut frame| {
                frame.record = frame.record.start + offset..frame.record.end + offset;
                frame
            }));
    }
    stream
}

/// Generates one capture. Its packets may carry captures, nested up to `depth` levels.
fn capture(random: &mut Random, style: Style, records: usize, depth: u32) -> Capture {
    if random.below(4) == 0 {
        pcapng(random, style, records, depth)
    } else {
        pcap(random, style, records, depth)
    }
}

/// A byte order.
#[derive(Clone, Copy)]
struct Order {
    is_big: bool,
}

impl Order {
    fn u16(self, value: u16) -> [u8; 2] {
        if self.is_big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        if self.is_big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    }
}

/// The values in a record's header, other than the captured length.
struct Numbers {
    seconds: u32,
    fraction: u32,
    original: u32,
}

/// Generates the header values of a capture's records.
struct Clock {
    style: Style,
    seconds: u32,
    units: u32,
}

impl Clock {
    fn tick(&mut self, random: &mut Random, captured: usize) -> Numbers {
        let captured = u32::try_from(captured).unwrap();
        self.seconds += random.u32() % 3;
        let mut numbers = Numbers {
            seconds: self.seconds,
            fraction: random.u32() % self.units,
            original: captured + random.choose(&[0, 0, 0, 900]),
        };
        if self.style == Style::Odd {
            match random.below(8) {
                0 => numbers.seconds = random.u32(),
                // Magic numbers with which captures begin.
                1 => {
                    let magic = [0xa1b2_c3d4, 0xd4c3_b2a1, 0xa1b2_3c4d, 0x0a0d_0d0a];
                    numbers.seconds = random.choose(&magic);
                }
                2 => numbers.seconds = 0,
                3 => numbers.fraction = random.u32(),
                4 => numbers.original = 0,
                5 => numbers.original = random.u32(),
                6 => numbers.original = random.u32() % (captured + 1),
                _ => {}
            }
        }
        numbers
    }
}

fn pcap(random: &mut Random, style: Style, records: usize, depth: u32) -> Capture {
    let order = Order {
        is_big: random.below(2) == 0,
    };
    let magic = random.choose(&[0xa1b2_c3d4, 0xa1b2_c3d4, 0xa1b2_3c4d, 0xa1b2_cd34_u32]);
    let units = if magic == 0xa1b2_3c4d {
        1_000_000_000
    } else {
        1_000_000
    };
    let is_odd = style == Style::Odd;
    let minor = if is_odd {
        random.choose(&[0, 2, 3, 4, 4, 4, 4_u16])
    } else {
        4
    };
    let snap_length = if is_odd {
        random.choose(&[0, 64, 65_535, 262_144, u32::MAX])
    } else {
        random.choose(&[65_535, 262_144])
    };
    let link = random.choose(&[1_u16, 101, 276]);
    let mut bytes = order.u32(magic).to_vec();
    bytes.extend([order.u16(2), order.u16(minor)].as_flattened());
    bytes.extend([0; 8]);
    bytes.extend([order.u32(snap_length), order.u32(link.into())].as_flattened());
    let mut clock = Clock {
        style,
        seconds: 1_600_000_000 + random.u32() % 100_000_000,
        units,
    };
    let mut frames = Vec::new();
    for _ in 0..records {
        let start = bytes.len();
        let frame = payload(random, style, depth);
        let captured = u32::try_from(frame.len()).unwrap();
        let mut numbers = clock.tick(random, frame.len());
        if is_odd && captured == 0 && random.below(2) == 0 {
            // A header of zeros, which some writers leave where a packet was lost.
            (numbers.seconds, numbers.fraction, numbers.original) = (0, 0, 0);
        }
        // Old versions never write an original length below the captured one.
        if minor < 4 {
            numbers.original = numbers.original.max(captured);
        }
        let lengths = if minor < 4 {
            [numbers.original, captured]
        } else {
            [captured, numbers.original]
        };
        for word in [numbers.seconds, numbers.fraction, lengths[0], lengths[1]] {
            bytes.extend(order.u32(word));
        }
        if magic == 0xa1b2_cd34 {
            bytes.extend(random.bytes(8));
        }
        bytes.extend(&frame);
        let nanoseconds = u64::from(numbers.fraction) * (1_000_000_000 / u64::from(units));
        frames.push(Expected {
            at: Duration::from_secs(numbers.seconds.into()) + Duration::from_nanos(nanoseconds),
            link,
            length: frame.len().max(numbers.original as usize),
            bytes: frame,
            record: start..bytes.len(),
        });
    }
    Capture { bytes, frames }
}

fn pcapng(random: &mut Random, style: Style, records: usize, depth: u32) -> Capture {
    let order = Order {
        is_big: random.below(2) == 0,
    };
    let link = random.choose(&[1_u16, 101, 276]);
    let mut bytes = Vec::new();
    let mut section = order.u32(0x1a2b_3c4d).to_vec();
    section.extend([order.u16(1), order.u16(0)].as_flattened());
    section.extend([0xff; 8]);
    block(&mut bytes, order, 0x0a0d_0d0a, &section);
    let interface = [order.u16(link), [0; 2], [0; 2], [0; 2]];
    block(&mut bytes, order, 1, interface.as_flattened());
    let mut clock = Clock {
        style,
        seconds: 1_600_000_000 + random.u32() % 100_000_000,
        units: 1_000_000,
    };
    let mut frames = Vec::new();
    for _ in 0..records {
        if random.below(10) == 0 {
            let kind = random.choose(&[4, 5, 10, 0x0bad, 0x7777, 0x8000_0001]);
            let body = random.bytes(20);
            block(&mut bytes, order, kind, &body);
        }
        let start = bytes.len();
        let frame = payload(random, style, depth);
        let captured = u32::try_from(frame.len()).unwrap();
        let numbers = clock.tick(random, frame.len());
        let padding = vec![0; frame.len().next_multiple_of(4) - frame.len()];
        let mut expected = Expected {
            at: Duration::ZERO,
            link,
            length: frame.len(),
            bytes: frame.clone(),
            record: 0..0,
        };
        if random.below(8) == 0 {
            let body = [&order.u32(captured)[..], &frame, &padding].concat();
            block(&mut bytes, order, 3, &body);
        } else {
            let time = u64::from(numbers.seconds) * 1_000_000 + u64::from(numbers.fraction);
            let mut body = order.u32(0).to_vec();
            let (high, low) = (time >> 32, time & u64::from(u32::MAX));
            body.extend(
                [high, low]
                    .map(|half| order.u32(u32::try_from(half).unwrap()))
                    .as_flattened(),
            );
            body.extend([order.u32(captured), order.u32(numbers.original)].as_flattened());
            body.extend([&frame[..], &padding].concat());
            block(&mut bytes, order, 6, &body);
            expected.at = Duration::from_micros(time);
            expected.length = frame.len().max(numbers.original as usize);
        }
        expected.record = start..bytes.len();
        frames.push(expected);
    }
    Capture { bytes, frames }
}

fn block(bytes: &mut Vec<u8>, order: Order, kind: u32, body: &[u8]) {
    let size = order.u32(u32::try_from(12 + body.len()).unwrap());
    bytes.extend([order.u32(kind), size].as_flattened());
    bytes.extend(body);
    bytes.extend(size);
}

/// Generates a packet. Unless the whole packet is zeros, it begins with no more zeros than a real
/// header.
fn payload(random: &mut Random, style: Style, depth: u32) -> Vec<u8> {
    let size = match random.below(40) {
        0 if style == Style::Odd => random.choose(&[20_000, 70_000]),
        0..8 => 1000 + random.below(500),
        _ => 54 + random.below(200),
    };
    match random.below(16) {
        0 if style == Style::Odd => Vec::new(),
        1..4 if depth > 0 => {
            let records = random.below(6);
            let inner = capture(random, style, records, depth - 1).bytes;
            let mut frame = headers(random);
            // The inner capture is complete or cut, and may be followed by other bytes.
            frame.extend(&inner[..inner.len() - random.choose(&[0, 0, 1, 7]).min(inner.len())]);
            let more = random.choose(&[0, 0, 40]);
            frame.extend(random.bytes(more));
            frame
        }
        4 if style == Style::Odd => vec![0; size],
        5..9 => {
            let mut frame = headers(random);
            frame.resize(size, random.choose(b"x\0\xff"));
            frame
        }
        _ => {
            let mut frame = headers(random);
            let more = random.bytes(size.saturating_sub(frame.len()));
            frame.extend(more);
            frame
        }
    }
}

/// Generates Ethernet, IPv4 and UDP headers, with random values in unimportant fields.
fn headers(random: &mut Random) -> Vec<u8> {
    let mut headers = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    headers.extend(random.bytes(4));
    headers.extend([0, 0, 64, 17, 0, 0, 192, 168, 88, 1, 192, 168, 88, 10]);
    headers.extend(random.bytes(8));
    headers
}
