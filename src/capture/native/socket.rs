//! Opens packet sockets, and asks them what the kernel dropped.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Weak};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{SockProtocol, SockaddrStorage, bind, getsockname, getsockopt, setsockopt};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::interface::{self, Interface};
use super::options::{AddMembership, IgnoreOutgoing, MemoryInfo};
use super::{ANY, OpenError, filter};
use crate::capture::{DropCounter, PacketCapture, raise_receive_buffer};

/// A socket that gets the stream as one interface receives it, or all of them.
#[derive(Debug)]
pub struct PacketSocket {
    pub(super) socket: Arc<Socket>,
    /// None: all interfaces.
    pub(super) interface: Option<Interface>,
    /// How many bytes of each frame are kept.
    pub(super) snaplen: usize,
}

/// Opens a socket for each interface. It gets nothing until it [begins](PacketSocket::begin).
///
/// # Errors
/// An interface is not there, or this process may not capture.
pub fn open(options: &PacketCapture) -> Result<Vec<PacketSocket>, OpenError> {
    if options.listen_ports.len() > filter::MOST_PORTS {
        let ports = options.listen_ports.len();
        return Err(OpenError::TooManyPorts(ports, filter::MOST_PORTS));
    }
    let mut sockets: Vec<PacketSocket> = Vec::new();
    for name in &options.interfaces {
        let interface = match name.as_str() {
            ANY => None,
            name => Some(
                Interface::named(name).ok_or_else(|| OpenError::NoInterface(name.to_owned()))?,
            ),
        };
        // Interfaces may have several names.
        let mut others = sockets.iter().filter_map(|other| other.interface.as_ref());
        if let Some(new) = &interface
            && let Some(other) = others.find(|other| other.index == new.index)
        {
            return Err(OpenError::SameInterface(
                other.name.clone(),
                new.name.clone(),
            ));
        }
        sockets.push(PacketSocket::open(interface, options)?);
    }
    Ok(sockets)
}

/// The names of all interfaces.
pub(super) fn interfaces() -> Option<Vec<String>> {
    interface::names()
}

impl PacketSocket {
    fn open(interface: Option<Interface>, options: &PacketCapture) -> Result<Self, OpenError> {
        // Without a protocol, nothing gets in before the filter stands.
        let socket = packet_socket(None)?;
        let index = interface.as_ref().map(|interface| interface.index);
        attach(&socket, &filter::datagrams(&options.listen_ports, index))?;
        // Kernels before 4.20 cannot: then the filter alone drops what this host sends.
        let _ = setsockopt(&socket, IgnoreOutgoing, &true);
        if options.promiscuous
            && let Some(index) = index
        {
            be_promiscuous(&socket, index)?;
        }
        Ok(Self {
            socket: Arc::new(socket),
            interface,
            snaplen: usize::try_from(options.snaplen).unwrap_or(usize::MAX),
        })
    }

    /// The interface, or `any`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.interface
            .as_ref()
            .map_or(ANY, |interface| &interface.name)
    }

    /// Asks for a receive buffer of this many bytes and returns how many the kernel grants.
    ///
    /// # Errors
    /// The socket is broken.
    pub fn raise_buffer(&self, bytes: usize) -> io::Result<usize> {
        raise_receive_buffer(&self.socket, bytes)
    }

    /// What the kernel tells of the packets that it dropped for want of room.
    #[must_use]
    pub fn drops(&self) -> Drops {
        Drops {
            socket: Arc::downgrade(&self.socket),
            seen: 0,
            total: 0,
        }
    }

    /// Lets packets in: those of the interface, or of all where the filter chooses. From then on,
    /// they wait to be read.
    ///
    /// The address that says so has to come from the system, for there is no safe way to make one.
    /// Another socket, which takes all protocols and lets nothing in, tells its own.
    ///
    /// # Errors
    /// The interface is not there any more, or the socket is broken.
    pub fn begin(&self) -> Result<(), OpenError> {
        let model = packet_socket(Some(Protocol::from(SockProtocol::EthAll as i32)))?;
        attach(&model, &filter::nothing())?;
        if let Some(interface) = &self.interface
            && let Some(address) = interface.link_address()?
        {
            bind(model.as_raw_fd(), &address).map_err(io::Error::from)?;
        }
        let address: SockaddrStorage = getsockname(model.as_raw_fd()).map_err(io::Error::from)?;
        match bind(self.socket.as_raw_fd(), &address) {
            // An interface that is down: it begins when it is up.
            Ok(()) | Err(Errno::ENETDOWN) => Ok(()),
            Err(error) => Err(OpenError::System(error.into())),
        }
    }
}

fn packet_socket(protocol: Option<Protocol>) -> Result<Socket, OpenError> {
    Socket::new(Domain::PACKET, Type::DGRAM, protocol).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => OpenError::NotPermitted(error),
        _ => OpenError::System(error),
    })
}

pub(super) fn attach(socket: &Socket, program: &[filter::Instruction]) -> io::Result<()> {
    let program: Vec<_> = program
        .iter()
        .map(|instruction| {
            let filter::Instruction {
                code,
                jump_true,
                jump_false,
                k,
            } = *instruction;
            SockFilter::new(code, jump_true, jump_false, k)
        })
        .collect();
    socket.attach_filter(&program)
}

/// The interface takes frames for other hosts too, until the socket is closed.
fn be_promiscuous(socket: &Socket, index: u32) -> io::Result<()> {
    /// linux/if_packet.h: `PACKET_MR_PROMISC`.
    const PROMISCUOUS: u16 = 1;

    let membership = libc::packet_mreq {
        mr_ifindex: index.cast_signed(),
        mr_type: PROMISCUOUS,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    setsockopt(socket, AddMembership, &membership)?;
    Ok(())
}

/// Counts the packets that the kernel dropped at one socket.
#[derive(Debug)]
pub struct Drops {
    socket: Weak<Socket>,
    /// The kernel's number when it was last read; it wraps around at 32 bits.
    seen: u32,
    total: u64,
}

impl DropCounter for Drops {
    /// Nothing is added once the socket is closed.
    fn read(&mut self) -> io::Result<()> {
        if let Some(socket) = self.socket.upgrade() {
            let [.., now] = getsockopt(&socket, MemoryInfo)?;
            self.total += u64::from(now.wrapping_sub(self.seen));
            self.seen = now;
        }
        Ok(())
    }

    fn total(&self) -> u64 {
        self.total
    }
}
