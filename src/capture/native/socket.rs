//! Opens packet sockets, and reads how many packets the kernel dropped.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Weak};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{SockProtocol, SockaddrStorage, bind, getsockname, getsockopt, setsockopt};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::interface::{self, Interface};
use super::options::{AddMembership, IgnoreOutgoing, Statistics};
use super::{ANY, OpenError, filter};
use crate::capture::{DropCounter, PacketCapture, raise_receive_buffer};

/// A socket that receives the TZSP stream from one interface, or from all.
#[derive(Debug)]
pub struct PacketSocket {
    pub(super) socket: Arc<Socket>,
    /// `None` means all interfaces.
    pub(super) interface: Option<Interface>,
    /// Number of bytes to keep of each frame.
    pub(super) snaplen: usize,
}

/// Opens a socket for each interface. It receives nothing before [`begin`](PacketSocket::begin).
///
/// # Errors
/// An interface does not exist or is given twice, or this process may not capture.
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
                Interface::named(name)?.ok_or_else(|| OpenError::NoInterface(name.to_owned()))?,
            ),
        };
        // Different names may be aliases of one interface, so indexes are compared.
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

/// Returns the names of all interfaces.
pub(super) fn interfaces() -> Option<Vec<String>> {
    interface::names()
}

impl PacketSocket {
    fn open(interface: Option<Interface>, options: &PacketCapture) -> Result<Self, OpenError> {
        // Without a protocol, the socket receives nothing before the filter is attached.
        let socket = packet_socket(None)?;
        let index = interface.as_ref().map(|interface| interface.index);
        attach(&socket, &filter::datagrams(&options.listen_ports, index))?;
        // Fails before Linux 4.20, where the filter alone drops the packets that this host sends.
        let _ = setsockopt(&socket, IgnoreOutgoing, &true);
        if options.promiscuous
            && let Some(index) = index
        {
            make_promiscuous(&socket, index)?;
        }
        Ok(Self {
            socket: Arc::new(socket),
            interface,
            snaplen: usize::try_from(options.snaplen).unwrap_or(usize::MAX),
        })
    }

    /// Returns the name of the interface, or `any`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.interface
            .as_ref()
            .map_or(ANY, |interface| &interface.name)
    }

    /// Asks for a receive buffer of this many bytes and returns how many the kernel grants.
    ///
    /// # Errors
    /// The system refuses to change the socket.
    pub fn raise_buffer(&self, bytes: usize) -> io::Result<usize> {
        raise_receive_buffer(&self.socket, bytes)
    }

    /// Returns the counter of the packets that the kernel dropped because the buffer was full. A
    /// second counter would take drops from the first: the kernel reports each one once.
    #[must_use]
    pub fn drops(&self) -> Drops {
        Drops {
            socket: Arc::downgrade(&self.socket),
            total: 0,
        }
    }

    /// Starts receiving packets: those of the interface, or of all if the filter selects. From then
    /// on, packets are queued.
    ///
    /// This binds the socket to a link-layer address with the protocol "all". Building such an
    /// address would need `unsafe` code, so the system builds it: a second socket with this
    /// protocol, whose filter drops everything, returns its own address.
    ///
    /// # Errors
    /// The interface no longer exists, or the system refuses to bind the socket.
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
            // The interface is down: packets arrive once it is up.
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
    socket.attach_filter(&program).map_err(|error| {
        if error.raw_os_error() == Some(libc::ENOMEM) {
            return io::Error::other(
                "no memory for the capture filter: raise its limit with sysctl -w \
                 net.core.optmem_max=131072, or give fewer listen ports",
            );
        }
        error
    })
}

/// Makes the interface receive frames for other hosts too, until the socket is closed.
fn make_promiscuous(socket: &Socket, index: u32) -> io::Result<()> {
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
    total: u64,
}

impl DropCounter for Drops {
    /// Adds nothing once the socket is closed.
    fn read(&mut self) -> io::Result<()> {
        if let Some(socket) = self.socket.upgrade() {
            self.total += u64::from(getsockopt(&socket, Statistics)?.tp_drops);
        }
        Ok(())
    }

    fn total(&self) -> u64 {
        self.total
    }
}
