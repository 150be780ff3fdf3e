//! Interfaces by name.

use std::io;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{if_nameindex, if_nametoindex};
use nix::sys::socket::LinkAddr;

/// An interface as it was when its socket was opened. One of the same name that comes later has
/// another index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) index: u32,
}

impl Interface {
    /// `None` if there is none of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(Self {
            name: name.to_owned(),
            index: if_nametoindex(name).ok()?,
        })
    }

    pub(super) fn is_there(&self) -> bool {
        if_nametoindex(self.name.as_str()) == Ok(self.index)
    }

    /// Its address for packet sockets. Interfaces without a hardware address, such as tun and
    /// wireguard, are listed without one.
    pub(super) fn link_address(&self) -> io::Result<Option<LinkAddr>> {
        let mut addresses = getifaddrs()?.filter_map(|entry| entry.address);
        let index = usize::try_from(self.index).ok();
        Ok(addresses.find_map(|address| {
            let address = *address.as_link_addr()?;
            (Some(address.ifindex()) == index).then_some(address)
        }))
    }
}

/// The names of all interfaces.
pub(super) fn names() -> Option<Vec<String>> {
    let interfaces = if_nameindex().ok()?;
    let names = interfaces.iter().map(nix::net::if_::Interface::name);
    Some(names.map(|name| name.to_string_lossy().into()).collect())
}
