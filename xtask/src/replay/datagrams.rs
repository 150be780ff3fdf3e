//! Finds TZSP in a capture: reads the frames of a file, and the UDP payload of a frame.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use anyhow::Context;
use etherparse::{
    EtherType, IpNumber, Ipv6ExtensionSlice, LaxNetSlice, LaxSlicedPacket, UdpHeaderSlice,
};
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::{Block, PcapNgReader};

use crate::capture_file::{
    LINK_COOKED_V1, LINK_COOKED_V2, LINK_ETHERNET, LINK_IPV4, LINK_IPV6, LINK_LOOP, LINK_NULL,
    LINK_RAW, LINK_RAW_BSD,
};

/// The size of the read buffer, in bytes, which must hold the largest frame of a capture.
const LARGEST_FRAME: usize = 1 << 20;

/// Calls `visit` with the link type and the bytes of each frame.
pub(super) fn visit_frames(
    path: &Path,
    mut visit: impl FnMut(u32, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let name = path.display();
    let mut file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    let mut magic = [0; 4];
    file.read_exact(&mut magic)
        .with_context(|| format!("{name} is not a capture"))?;
    file.rewind()
        .with_context(|| format!("cannot read {name} again"))?;
    // The type of a section header block reads the same in both byte orders.
    if magic == [0x0a, 0x0d, 0x0d, 0x0a] {
        visit_pcapng(file, &name, &mut visit)
    } else {
        visit_pcap(file, &name, &mut visit)
    }
}

type Visit<'a> = &'a mut dyn FnMut(u32, &[u8]) -> anyhow::Result<()>;

fn visit_pcap(file: File, name: &dyn std::fmt::Display, visit: Visit<'_>) -> anyhow::Result<()> {
    let mut reader = PcapReader::with_capacity(file, LARGEST_FRAME)
        .with_context(|| format!("{name} is not a capture"))?;
    // The upper half describes the frame check sequence.
    let link = u32::from(reader.header().datalink) & 0xffff;
    while let Some(record) = reader.next_raw_packet() {
        visit(
            link,
            &record.with_context(|| format!("reading {name}"))?.data,
        )?;
    }
    Ok(())
}

fn visit_pcapng(file: File, name: &dyn std::fmt::Display, visit: Visit<'_>) -> anyhow::Result<()> {
    let mut reader = PcapNgReader::with_capacity(file, LARGEST_FRAME)
        .with_context(|| format!("{name} is not a capture"))?;
    while let Some(block) = reader.next_raw_block() {
        let (block, state) = block.with_context(|| format!("reading {name}"))?;
        // A malformed block is skipped. The next one starts after it.
        let Ok(block) = block.try_into_block(state) else {
            continue;
        };
        let (interface, frame) = match block {
            Block::EnhancedPacket(packet) => (packet.interface_id, packet.data),
            Block::SimplePacket(packet) => (0, packet.data),
            Block::Packet(packet) => (u32::from(packet.interface_id), packet.data),
            _ => continue,
        };
        let interface = usize::try_from(interface)
            .ok()
            .and_then(|at| state.interfaces().get(at));
        if let Some(interface) = interface {
            visit(u32::from(interface.linktype), &frame)?;
        }
    }
    Ok(())
}

/// A UDP payload, of which a capture may have only the beginning.
pub(super) struct Payload<'a> {
    pub(super) bytes: &'a [u8],
    /// The length in the UDP header, without the header itself.
    pub(super) claimed_length: usize,
}

/// Returns the UDP payload of a frame if it starts like TZSP.
pub(super) fn tzsp_payload(link: u32, frame: &[u8]) -> Option<Payload<'_>> {
    let packet = ip_packet(link, frame)?;
    let net = packet.net?;
    if is_later_fragment(&net) {
        return None;
    }
    // The packet's own transport slice is missing for first fragments.
    let ip_payload = net.ip_payload_ref()?;
    if ip_payload.ip_number != IpNumber::UDP {
        return None;
    }
    let header = UdpHeaderSlice::from_slice(ip_payload.payload).ok()?;
    let after_header = ip_payload.payload.get(8..)?;
    let claimed_length = match header.length() {
        0 => after_header.len(),
        length => usize::from(length).checked_sub(8)?,
    };
    let captured = after_header.len().min(claimed_length);
    let bytes = &after_header[..captured];
    (bytes.first() == Some(&1)).then_some(Payload {
        bytes,
        claimed_length,
    })
}

fn ip_packet(link: u32, frame: &[u8]) -> Option<LaxSlicedPacket<'_>> {
    match link {
        LINK_ETHERNET => LaxSlicedPacket::from_ethernet(frame).ok(),
        LINK_COOKED_V1 => {
            let (header, rest) = frame.split_at_checked(16)?;
            Some(LaxSlicedPacket::from_ether_type(
                ether_type(&header[14..]),
                rest,
            ))
        }
        LINK_COOKED_V2 => {
            let (header, rest) = frame.split_at_checked(20)?;
            Some(LaxSlicedPacket::from_ether_type(ether_type(header), rest))
        }
        // The version in the IP header tells the family, so the one in the link header is not needed.
        LINK_NULL | LINK_LOOP => LaxSlicedPacket::from_ip(frame.get(4..)?).ok(),
        LINK_RAW | LINK_RAW_BSD | LINK_IPV4 | LINK_IPV6 => LaxSlicedPacket::from_ip(frame).ok(),
        _ => None,
    }
}

fn ether_type(bytes: &[u8]) -> EtherType {
    EtherType(u16::from_be_bytes([bytes[0], bytes[1]]))
}

fn is_later_fragment(net: &LaxNetSlice<'_>) -> bool {
    match net {
        LaxNetSlice::Ipv4(ip) => ip.header().fragments_offset().value() != 0,
        LaxNetSlice::Ipv6(ip) => ip.extensions().clone().into_iter().any(|extension| {
            matches!(extension, Ipv6ExtensionSlice::Fragment(fragment)
                if fragment.fragment_offset().value() != 0)
        }),
        LaxNetSlice::Arp(_) => false,
    }
}
