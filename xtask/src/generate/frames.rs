//! Turns an inner packet into the frames that a capture on the collector would contain. Buffers are
//! reused, so there is no allocation for each packet.

use std::io::{self, Write};

use super::CaptureFormat;
use super::traffic::InnerPacket;
use crate::capture_file::{LINK_ETHERNET, Order, Pcap, Section};
use crate::packet::{
    COLLECTOR, COLLECTOR_MAC, ETHERTYPE_IPV4, ICMP, IGMP, LAPTOP_MAC, MORE_FRAGMENTS, ROUTER_MAC,
    ROUTEROS, TCP, UDP, filler, internet_checksum,
};

/// The maximum payload after an IPv4 header of 20 bytes at an MTU of 1500.
const FRAGMENT_PAYLOAD: usize = 1480;

/// The largest inner packet that is generated.
const LARGEST_PACKET: usize = 2000;

/// Writes frames to a capture file.
pub(super) struct FrameWriter<W> {
    out: W,
    format: CaptureFormat,
    snap_length: u32,
    pcap: Pcap,
    /// The UDP datagram of the current packet.
    datagram: Vec<u8>,
    frame: Vec<u8>,
    filler: Vec<u8>,
    identification: u16,
}

impl<W: Write> FrameWriter<W> {
    pub(super) fn start(mut out: W, format: CaptureFormat, snap_length: u32) -> io::Result<Self> {
        let pcap = Pcap {
            snap_length,
            ..Pcap::new(LINK_ETHERNET)
        };
        match format {
            CaptureFormat::Pcap => out.write_all(&pcap.header())?,
            CaptureFormat::Pcapng => {
                let section =
                    Section::new(Order::Little).interface(LINK_ETHERNET, snap_length, &[]);
                out.write_all(&section.finish())?;
            }
        }
        Ok(Self {
            out,
            format,
            snap_length,
            pcap,
            datagram: Vec::new(),
            frame: Vec::new(),
            filler: filler().take(LARGEST_PACKET).collect(),
            identification: 0,
        })
    }

    /// Writes the frames that carry `packet` and returns their number. `at` is in nanoseconds since
    /// 1970.
    pub(super) fn mirror(&mut self, at: u64, packet: &InnerPacket) -> io::Result<u64> {
        self.identification = self.identification.wrapping_add(1);
        self.encapsulate(packet);
        let sensor = sensor_address(packet.flow.sensor);
        let datagram = std::mem::take(&mut self.datagram);
        let mut frames = 0;
        for (position, piece) in datagram.chunks(FRAGMENT_PAYLOAD).enumerate() {
            let start = position * FRAGMENT_PAYLOAD;
            let more = start + piece.len() < datagram.len();
            let offset = u16::try_from(start / 8).expect("a datagram is short");
            let fragment = if more {
                MORE_FRAGMENTS | offset
            } else {
                offset
            };
            let header = ipv4_header(&Header {
                source: sensor,
                destination: COLLECTOR,
                protocol: UDP,
                total_length: length16(20 + piece.len()),
                identification: self.identification,
                fragment,
            });
            self.frame.clear();
            self.frame.extend(COLLECTOR_MAC);
            self.frame.extend(ROUTER_MAC);
            self.frame.extend(ETHERTYPE_IPV4.to_be_bytes());
            self.frame.extend(header);
            self.frame.extend_from_slice(piece);
            self.write_frame(at + 1000 * position as u64)?;
            frames += 1;
        }
        self.datagram = datagram;
        Ok(frames)
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn encapsulate(&mut self, packet: &InnerPacket) {
        let InnerPacket { flow, total_length } = packet;
        let length = 8 + 5 + 14 + total_length;
        // RouterOS sends datagrams in two forms: see the fixtures whose names start with routeros.
        let with_checksum = flow.sensor == 2;
        let source_port = if with_checksum {
            49_731
        } else {
            flow.listen_port
        };
        let header = ipv4_header(&Header {
            source: flow.source,
            destination: flow.destination,
            protocol: flow.protocol,
            total_length: *total_length,
            identification: self.identification,
            fragment: 0,
        });
        let datagram = &mut self.datagram;
        datagram.clear();
        datagram.extend(source_port.to_be_bytes());
        datagram.extend(flow.listen_port.to_be_bytes());
        datagram.extend(length.to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(ROUTEROS);
        datagram.extend(ROUTER_MAC);
        datagram.extend(LAPTOP_MAC);
        datagram.extend(ETHERTYPE_IPV4.to_be_bytes());
        datagram.extend(header);
        let transport_length = total_length - 20;
        let ports = flow.ports.into_iter().flat_map(u16::to_be_bytes);
        match flow.protocol {
            TCP => {
                datagram.extend(ports);
                datagram.extend(TCP_AFTER_PORTS);
            }
            UDP => {
                datagram.extend(ports);
                datagram.extend(transport_length.to_be_bytes());
                datagram.extend([0, 0]);
            }
            ICMP => datagram.extend(ECHO_REQUEST),
            IGMP => datagram.extend(MEMBERSHIP_REPORT),
            _ => {}
        }
        let missing = usize::from(length).saturating_sub(datagram.len());
        datagram.extend_from_slice(&self.filler[..missing]);
        datagram.truncate(usize::from(length));
        if with_checksum {
            let pseudo_header = [0, UDP];
            let checksum = internet_checksum(&[
                &sensor_address(flow.sensor),
                &COLLECTOR,
                &pseudo_header,
                &length.to_be_bytes(),
                datagram,
            ]);
            let checksum = if checksum == 0 { 0xffff } else { checksum };
            datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
        }
    }

    fn write_frame(&mut self, at: u64) -> io::Result<()> {
        let original = u32::try_from(self.frame.len()).expect("a frame is short");
        let captured = original.min(self.snap_length);
        let kept = &self.frame[..captured as usize];
        match self.format {
            CaptureFormat::Pcap => {
                self.out
                    .write_all(&self.pcap.record_header(at, captured, original))?;
                self.out.write_all(kept)
            }
            CaptureFormat::Pcapng => {
                let padding = captured.next_multiple_of(4) - captured;
                let block_length = 32 + captured + padding;
                let micros = at / 1000;
                let high = u32::try_from(micros >> 32).expect("half of 64 bits");
                let low = u32::try_from(micros & 0xffff_ffff).expect("half of 64 bits");
                for value in [6, block_length, 0, high, low, captured, original] {
                    self.out.write_all(&value.to_le_bytes())?;
                }
                self.out.write_all(kept)?;
                self.out.write_all(&[0; 3][..padding as usize])?;
                self.out.write_all(&block_length.to_le_bytes())
            }
        }
    }
}

fn sensor_address(sensor: u8) -> [u8; 4] {
    [192, 168, 88, 1 + sensor]
}

/// An acknowledgement with timestamps, behind the ports.
const TCP_AFTER_PORTS: [u8; 28] = [
    0x1a, 0x2b, 0x3c, 0x4d, 0x5e, 0x6f, 0x70, 0x81, 0x80, 0x10, 0x01, 0xf6, 0, 0, 0, 0, 1, 1, 8,
    10, 0x02, 0xa3, 0xb4, 0xc5, 0x11, 0x22, 0x33, 0x44,
];

const ECHO_REQUEST: [u8; 8] = [8, 0, 0, 0, 0x12, 0x34, 0, 1];

/// Version 2, for 224.0.0.251.
const MEMBERSHIP_REPORT: [u8; 8] = [0x16, 0, 0x09, 0x04, 224, 0, 0, 251];

struct Header {
    source: [u8; 4],
    destination: [u8; 4],
    protocol: u8,
    total_length: u16,
    identification: u16,
    fragment: u16,
}

/// An IPv4 header without options.
fn ipv4_header(fields: &Header) -> [u8; 20] {
    let mut header = [0; 20];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&fields.total_length.to_be_bytes());
    header[4..6].copy_from_slice(&fields.identification.to_be_bytes());
    header[6..8].copy_from_slice(&fields.fragment.to_be_bytes());
    header[8] = 64;
    header[9] = fields.protocol;
    header[12..16].copy_from_slice(&fields.source);
    header[16..20].copy_from_slice(&fields.destination);
    let checksum = internet_checksum(&[&header]);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    header
}

fn length16(length: usize) -> u16 {
    u16::try_from(length).expect("a datagram is short")
}
