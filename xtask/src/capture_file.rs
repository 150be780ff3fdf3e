//! pcap and pcapng files as bytes, in both byte orders. The layouts are those of
//! draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.

pub(crate) const LINK_NULL: u32 = 0;
pub(crate) const LINK_ETHERNET: u32 = 1;
pub(crate) const LINK_PPP: u32 = 9;
pub(crate) const LINK_RAW_BSD: u32 = 12;
pub(crate) const LINK_PPP_HDLC: u32 = 50;
pub(crate) const LINK_PPPOE: u32 = 51;
pub(crate) const LINK_RAW: u32 = 101;
pub(crate) const LINK_WLAN: u32 = 105;
pub(crate) const LINK_LOOP: u32 = 108;
pub(crate) const LINK_COOKED_V1: u32 = 113;
pub(crate) const LINK_PRISM: u32 = 119;
pub(crate) const LINK_RADIOTAP: u32 = 127;
pub(crate) const LINK_TZSP: u32 = 128;
/// Reserved for private use, so its content is undefined.
pub(crate) const LINK_USER: u32 = 147;
pub(crate) const LINK_AVS: u32 = 163;
pub(crate) const LINK_PPI: u32 = 192;
pub(crate) const LINK_IPV4: u32 = 228;
pub(crate) const LINK_IPV6: u32 = 229;
pub(crate) const LINK_COOKED_V2: u32 = 276;

/// The default snap length of tcpdump and dumpcap.
pub(crate) const SNAP_LENGTH: u32 = 262_144;

/// A byte order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    pub(crate) fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        }
    }

    pub(crate) fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        }
    }
}

/// A frame in a capture, possibly truncated, and its original length.
pub(crate) struct Record {
    pub(crate) bytes: Vec<u8>,
    pub(crate) original_length: u32,
}

impl Record {
    pub(crate) fn whole(bytes: Vec<u8>) -> Self {
        let original_length = length32(bytes.len());
        Self {
            bytes,
            original_length,
        }
    }

    pub(crate) fn cut_at(mut bytes: Vec<u8>, snap_length: usize) -> Self {
        let original_length = length32(bytes.len());
        bytes.truncate(snap_length);
        Self {
            bytes,
            original_length,
        }
    }
}

/// The header of a pcap file.
pub(crate) struct Pcap {
    pub(crate) order: Order,
    pub(crate) nanoseconds: bool,
    /// Whether records also have the interface, the protocol and the packet type.
    pub(crate) modified: bool,
    pub(crate) snap_length: u32,
    /// The link type, with the bits above it that describe the frame check sequence.
    pub(crate) link: u32,
}

impl Pcap {
    pub(crate) fn new(link: u32) -> Self {
        Self {
            order: Order::Little,
            nanoseconds: false,
            modified: false,
            snap_length: SNAP_LENGTH,
            link,
        }
    }

    pub(crate) fn header(&self) -> [u8; 24] {
        let magic = if self.modified {
            0xa1b2_cd34
        } else if self.nanoseconds {
            0xa1b2_3c4d
        } else {
            0xa1b2_c3d4
        };
        let mut header = [0; 24];
        header[0..4].copy_from_slice(&self.order.u32(magic));
        header[4..6].copy_from_slice(&self.order.u16(2));
        header[6..8].copy_from_slice(&self.order.u16(4));
        header[16..20].copy_from_slice(&self.order.u32(self.snap_length));
        header[20..24].copy_from_slice(&self.order.u32(self.link));
        header
    }

    /// Returns a record's header. `at` is in nanoseconds since 1970.
    pub(crate) fn record_header(&self, at: u64, captured: u32, original: u32) -> [u8; 16] {
        let seconds = u32::try_from(at / 1_000_000_000).expect("pcap ends in 2106");
        let fraction = u32::try_from(at % 1_000_000_000).expect("less than a second");
        let fraction = if self.nanoseconds {
            fraction
        } else {
            fraction / 1000
        };
        let mut header = [0; 16];
        header[0..4].copy_from_slice(&self.order.u32(seconds));
        header[4..8].copy_from_slice(&self.order.u32(fraction));
        header[8..12].copy_from_slice(&self.order.u32(captured));
        header[12..16].copy_from_slice(&self.order.u32(original));
        header
    }

    /// Returns a whole file, with a quarter of a second between the records.
    pub(crate) fn file(&self, records: &[Record]) -> Vec<u8> {
        let mut file = self.header().to_vec();
        for (record, at) in records.iter().zip(timestamps()) {
            let captured = length32(record.bytes.len());
            file.extend(self.record_header(at, captured, record.original_length));
            if self.modified {
                // Interface 2, IPv4, to this host, and padding.
                file.extend(self.order.u32(2));
                file.extend(self.order.u16(0x0800));
                file.extend([0, 0]);
            }
            file.extend(&record.bytes);
        }
        file
    }
}

/// Returns the times of the frames of each fixture, in nanoseconds since 1970. The first is
/// 2023-11-14 22:13:20.123456789 UTC.
pub(crate) fn timestamps() -> impl Iterator<Item = u64> {
    (0..).map(|position| 1_700_000_000_123_456_789 + position * 250_000_000)
}

/// The option that ends a list of options.
pub(crate) const END_OF_OPTIONS: (u16, &[u8]) = (0, &[]);

/// A list of pcapng options: code and value. The end of the list is an option of its own,
/// which writers may leave out.
pub(crate) type OptionList<'a> = &'a [(u16, &'a [u8])];

/// A pcapng section, written block by block.
pub(crate) struct Section {
    order: Order,
    bytes: Vec<u8>,
}

impl Section {
    pub(crate) fn new(order: Order) -> Self {
        Self::with_options(order, &[])
    }

    /// Creates a section without a header, to append blocks to an earlier section of this byte
    /// order.
    pub(crate) fn empty(order: Order) -> Self {
        let bytes = Vec::new();
        Self { order, bytes }
    }

    pub(crate) fn with_options(order: Order, options: OptionList<'_>) -> Self {
        let section = Self::empty(order);
        let mut body = order.u32(0x1a2b_3c4d).to_vec();
        body.extend(order.u16(1));
        body.extend(order.u16(0));
        // The section's length is unspecified.
        body.extend([0xff; 8]);
        section.block(0x0a0d_0d0a, &body, options)
    }

    /// Appends an interface description block. Interfaces are numbered from 0 in each section.
    pub(crate) fn interface(self, link: u32, snap_length: u32, options: OptionList<'_>) -> Self {
        let link = u16::try_from(link).expect("a link type of pcapng has 16 bits");
        let mut body = self.order.u16(link).to_vec();
        body.extend(self.order.u16(0));
        body.extend(self.order.u32(snap_length));
        self.block(1, &body, options)
    }

    /// Appends an enhanced packet block. `ticks` is the time in the interface's own unit.
    pub(crate) fn enhanced(
        self,
        interface: u32,
        ticks: u64,
        record: &Record,
        options: OptionList<'_>,
    ) -> Self {
        let order = self.order;
        let mut body = order.u32(interface).to_vec();
        body.extend(timed_packet(order, ticks, record));
        self.block(6, &body, options)
    }

    /// Appends an obsolete packet block, which has a count of the drops since the packet before.
    pub(crate) fn obsolete(
        self,
        interface: u16,
        ticks: u64,
        record: &Record,
        options: OptionList<'_>,
    ) -> Self {
        let order = self.order;
        let mut body = order.u16(interface).to_vec();
        body.extend(order.u16(0));
        body.extend(timed_packet(order, ticks, record));
        self.block(2, &body, options)
    }

    /// Appends a simple packet block, which belongs to interface 0 and has neither a time nor a
    /// captured length.
    pub(crate) fn simple(self, record: &Record) -> Self {
        let mut body = self.order.u32(record.original_length).to_vec();
        body.extend(padded(&record.bytes));
        self.block(3, &body, &[])
    }

    pub(crate) fn block(mut self, kind: u32, body: &[u8], options: OptionList<'_>) -> Self {
        let mut content = body.to_vec();
        for (code, value) in options {
            content.extend(self.order.u16(*code));
            let length = u16::try_from(value.len()).expect("an option is short");
            content.extend(self.order.u16(length));
            content.extend(padded(value));
        }
        let content = padded(&content);
        let length = self.order.u32(length32(12 + content.len()));
        self.bytes.extend(self.order.u32(kind));
        self.bytes.extend(length);
        self.bytes.extend(content);
        self.bytes.extend(length);
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

fn timed_packet(order: Order, ticks: u64, record: &Record) -> Vec<u8> {
    let [high, low] = [ticks >> 32, ticks & 0xffff_ffff]
        .map(|half| u32::try_from(half).expect("half of 64 bits"));
    let mut bytes = Vec::new();
    for value in [
        high,
        low,
        length32(record.bytes.len()),
        record.original_length,
    ] {
        bytes.extend(order.u32(value));
    }
    bytes.extend(padded(&record.bytes));
    bytes
}

/// Returns `bytes`, padded with zeros to a multiple of four bytes.
fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn length32(length: usize) -> u32 {
    u32::try_from(length).expect("a frame is short")
}
