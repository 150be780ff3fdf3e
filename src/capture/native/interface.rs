//! Finds network interfaces by name.

use std::io;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{if_nameindex, if_nametoindex};
use nix::sys::socket::LinkAddr;

/// An interface as it was when its socket was opened. If it is deleted and created again under the
/// same name, it has another index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) index: u32,
}

impl Interface {
    /// Finds the interface with this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(Self {
            name: name.to_owned(),
            index: if_nametoindex(name).ok()?,
        })
    }

    /// Whether the interface still exists.
    pub(super) fn exists(&self) -> bool {
        if_nametoindex(self.name.as_str()) == Ok(self.index)
    }

    /// Returns the interface's link-layer address. It is `None` for interfaces without a hardware
    /// address, such as tun and wireguard.
    pub(super) fn link_address(&self) -> io::Result<Option<LinkAddr>> {
        let mut addresses = getifaddrs()?.filter_map(|entry| entry.address);
        let index = usize::try_from(self.index).ok();
        Ok(addresses.find_map(|address| {
            let address = *address.as_link_addr()?;
            (Some(address.ifindex()) == index).then_some(address)
        }))
    }
}

/// Returns the names of all interfaces; `None` if the system cannot list them.
pub(super) fn names() -> Option<Vec<String>> {
    let interfaces = if_nameindex().ok()?;
    let names = interfaces.iter().map(nix::net::if_::Interface::name);
    Some(names.map(|name| name.to_string_lossy().into()).collect())
}
