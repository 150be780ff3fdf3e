//! Finds network interfaces by name.

use std::io;
use std::os::unix::net::UnixDatagram;

use nix::errno::Errno;
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
    /// Finds the interface with this name. `None` if there is none.
    ///
    /// # Errors
    /// The system cannot tell, for example for want of a file descriptor.
    pub(super) fn named(name: &str) -> io::Result<Option<Self>> {
        match if_nametoindex(name) {
            Ok(index) => Ok(Some(Self {
                name: name.to_owned(),
                index,
            })),
            Err(Errno::ENODEV | Errno::ENXIO) => Ok(None),
            // The look-up needs a socket. If glibc cannot open one, it hides the reason behind this
            // error.
            Err(Errno::ENOENT) => {
                let reason = UnixDatagram::unbound().err();
                Err(reason.unwrap_or_else(|| Errno::ENOENT.into()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the interface was deleted. `false` if the system cannot tell: a capture that works
    /// must not end because a file descriptor was lacking for the question.
    pub(super) fn is_gone(&self) -> bool {
        // By index: a renamed interface is still the same. (`if_indextoname` of nix takes the null
        // pointer that means an error for a name.)
        if_nameindex().is_ok_and(|interfaces| {
            let mut indexes = interfaces.iter().map(nix::net::if_::Interface::index);
            !indexes.any(|index| index == self.index)
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_known_by_its_index() {
        let mut loopback = Interface::named("lo")
            .expect("the system can tell")
            .expect("every system has it");
        assert!(!loopback.is_gone());
        loopback.name = "renamed".to_owned();
        assert!(!loopback.is_gone());
        loopback.index = 2_000_000_000;
        assert!(loopback.is_gone());
        let none = Interface::named("no-such-thing").expect("the system can tell");
        assert_eq!(none, None);
    }
}
