//! The filter of a packet socket: a classic BPF program that the kernel runs for each packet.
//!
//! It passes UDP datagrams to the listen ports, behind VLAN tags and PPPoE, in IPv4 and IPv6, and
//! first fragments like whole datagrams. It finds the port in the same way as [`wire`](crate::wire)
//! but does not check lengths: a datagram that contradicts itself passes and is counted as
//! malformed.
//!
//! IEEE 802.3 frames with LLC do not pass, as with libpcap's filters, because no sensor sends its
//! stream in them.
//!
//! The packet begins behind the link-layer header, as for all sockets of type `SOCK_DGRAM`. The
//! kernel has removed the outermost VLAN tag; further tags are still there.

mod program;

pub(super) use program::{Instruction, Load};
use program::{Label, Program};

#[cfg(test)]
mod interpreter;
#[cfg(test)]
mod tests;

/// The most ports that fit into a filter: the kernel accepts 4,096 instructions, and each port
/// needs two.
pub(super) const MOST_PORTS: usize = 1_500;

/// How many tags, or IPv6 extension headers, are followed. Classic BPF has no loops, so the code is
/// repeated this often. Deeper packets pass, and [`wire`](crate::wire) decides.
const DEPTH: usize = 8;

const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;
const PPPOE_SESSION: u32 = 0x8864;
/// The EtherTypes of VLAN tags: IEEE 802.1Q, 802.1ad, and two that were used before 802.1ad.
const TAGS: [u32; 4] = [0x8100, 0x88a8, 0x9100, 0x9200];

/// PPP protocol numbers: RFC 1332 and RFC 5072.
const PPP_IPV4: u32 = 0x0021;
const PPP_IPV6: u32 = 0x0057;

const UDP: u32 = 17;
/// Extension headers with a length field: hop-by-hop options, routing, destination options.
const IPV6_EXTENSIONS: [u32; 3] = [0, 43, 60];
const IPV6_FRAGMENT: u32 = 44;

/// linux/if_packet.h: `PACKET_OUTGOING`.
const OUTGOING: u32 = 4;

/// Returns a program that drops every packet.
pub(super) fn nothing() -> Vec<Instruction> {
    let mut program = Program::default();
    program.drop();
    program.finish()
}

/// Returns a program that passes datagrams to these ports if they arrive at the interface with this
/// index; `None` means any interface.
pub(super) fn datagrams(ports: &[u16], interface: Option<u32>) -> Vec<Instruction> {
    let mut program = Program::default();
    let layers = Layers {
        ipv4: program.label(),
        ipv6: program.label(),
        pppoe: program.label(),
        udp: program.label(),
        accept: program.label(),
        drop: program.label(),
    };
    arrival(&mut program, interface, &layers);
    link(&mut program, &layers);
    pppoe(&mut program, &layers);
    ipv4(&mut program, &layers);
    ipv6(&mut program, &layers);
    udp(&mut program, ports, &layers);
    program.place(layers.drop);
    program.drop();
    program.place(layers.accept);
    program.accept();
    program.finish()
}

/// The labels at which the parts of the program begin. In each part, X is the offset of its layer.
struct Layers {
    ipv4: Label,
    ipv6: Label,
    pppoe: Label,
    udp: Label,
    accept: Label,
    drop: Label,
}

/// Drops packets that this host sends. On loopback, each packet would otherwise count twice.
fn arrival(program: &mut Program, interface: Option<u32>, layers: &Layers) {
    program.load(Load::PacketType);
    program.if_equal(OUTGOING, layers.drop);
    if let Some(index) = interface {
        let arrived = program.label();
        program.load(Load::Interface);
        program.if_equal(index, arrived);
        program.go_to(layers.drop);
        program.place(arrived);
    }
}

/// Follows VLAN tags. The first EtherType is the one behind the tag that the kernel removed.
fn link(program: &mut Program, layers: &Layers) {
    program.set_offset(0);
    program.load(Load::Protocol);
    for _ in 0..DEPTH {
        let tag = program.label();
        by_ether_type(program, layers, tag);
        program.place(tag);
        program.load(Load::Half(2));
        program.advance_keeping(4);
    }
    by_ether_type(program, layers, layers.accept);
}

fn by_ether_type(program: &mut Program, layers: &Layers, tag: Label) {
    program.if_equal(IPV4, layers.ipv4);
    program.if_equal(IPV6, layers.ipv6);
    program.if_equal(PPPOE_SESSION, layers.pppoe);
    for tag_type in TAGS {
        program.if_equal(tag_type, tag);
    }
    program.go_to(layers.drop);
}

/// RFC 2516: a header of six bytes, then the PPP protocol in two bytes, or compressed in one.
fn pppoe(program: &mut Program, layers: &Layers) {
    program.place(layers.pppoe);
    program.load(Load::Half(6));
    program.advance_keeping(8);
    program.if_equal(PPP_IPV4, layers.ipv4);
    program.if_equal(PPP_IPV6, layers.ipv6);
    // The compressed form: the protocol is the first of the two bytes, and the packet begins a byte
    // earlier.
    program.shift_right(8);
    program.advance_keeping(u32::MAX);
    program.if_equal(PPP_IPV4, layers.ipv4);
    program.if_equal(PPP_IPV6, layers.ipv6);
    program.go_to(layers.drop);
}

fn ipv4(program: &mut Program, layers: &Layers) {
    const FRAGMENT_OFFSET: u32 = 0x1fff;

    program.place(layers.ipv4);
    let is_udp = program.label();
    program.load(Load::Byte(9));
    program.if_equal(UDP, is_udp);
    program.go_to(layers.drop);
    program.place(is_udp);
    program.load(Load::Half(6));
    program.if_any_bit(FRAGMENT_OFFSET, layers.drop);
    program.load(Load::Byte(0));
    program.and(0x0f);
    program.shift_left(2);
    program.advance_by_value();
    program.go_to(layers.udp);
}

fn ipv6(program: &mut Program, layers: &Layers) {
    const FRAGMENT_OFFSET: u32 = 0xfff8;

    program.place(layers.ipv6);
    program.load(Load::Byte(6));
    program.advance_keeping(40);
    for _ in 0..DEPTH {
        let extension = program.label();
        let fragment = program.label();
        let next = program.label();
        by_next_header(program, layers, extension, fragment);

        program.place(fragment);
        program.load(Load::Half(2));
        program.if_any_bit(FRAGMENT_OFFSET, layers.drop);
        program.load(Load::Byte(0));
        program.advance_keeping(8);
        program.go_to(next);

        // The length field is in units of 8 bytes and does not include the first unit.
        program.place(extension);
        program.load(Load::Byte(0));
        program.keep();
        program.load(Load::Byte(1));
        program.add(1);
        program.shift_left(3);
        program.advance_by_value();
        program.load(Load::Kept);
        program.place(next);
    }
    by_next_header(program, layers, layers.accept, layers.accept);
}

fn by_next_header(program: &mut Program, layers: &Layers, extension: Label, fragment: Label) {
    program.if_equal(UDP, layers.udp);
    program.if_equal(IPV6_FRAGMENT, fragment);
    for header in IPV6_EXTENSIONS {
        program.if_equal(header, extension);
    }
    program.go_to(layers.drop);
}

fn udp(program: &mut Program, ports: &[u16], layers: &Layers) {
    program.place(layers.udp);
    program.load(Load::Half(2));
    for &port in ports {
        program.if_equal(port.into(), layers.accept);
    }
}
