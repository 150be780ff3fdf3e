//! The kernel's drop counters of UDP sockets: /proc/net/udp, proc_net(5).

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use socket2::Socket;

use crate::capture::DropCounter;

/// Counts the datagrams that the kernel dropped at one socket.
///
/// `SO_RXQ_OVFL` has the same number, but only together with the next datagram that gets through,
/// so drops at the end of a burst would be missed. This table has it at any time.
#[derive(Debug)]
pub struct Drops {
    inode: u64,
    /// The kernel's counter when it was last read. It wraps around at 32 bits.
    seen: u32,
    total: u64,
}

impl Drops {
    /// Returns the counter of a socket. Elsewhere than on Linux there is none.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "systems without a counter return none"
    )]
    pub(super) fn of(socket: &Socket) -> Option<Self> {
        Some(Self {
            inode: inode(socket),
            seen: 0,
            total: 0,
        })
    }
}

impl DropCounter for Drops {
    fn read(&mut self) -> io::Result<()> {
        if let Some(now) = table_entry(|entry| (entry.inode == self.inode).then_some(entry.drops))?
        {
            self.total += u64::from(now.wrapping_sub(self.seen));
            self.seen = now;
        }
        Ok(())
    }

    fn total(&self) -> u64 {
        self.total
    }
}

/// One line of the table.
struct Entry {
    inode: u64,
    drops: u32,
}

impl Entry {
    /// `sl local_address rem_address st queues timer retrnsmt uid timeout inode ref pointer drops`
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let inode = fields.nth(9)?;
        let drops = fields.nth(2)?;
        Some(Self {
            inode: inode.parse().ok()?,
            drops: drops.parse().ok()?,
        })
    }
}

/// Returns the first result of `find` over the entries of the tables for IPv6 and IPv4.
fn table_entry<T>(find: impl Fn(Entry) -> Option<T>) -> io::Result<Option<T>> {
    for table in ["/proc/self/net/udp6", "/proc/self/net/udp"] {
        let table = match File::open(table) {
            Ok(table) => BufReader::new(table),
            // This host has no IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in table.lines().skip(1) {
            if let Some(found) = Entry::parse(&line?).and_then(&find) {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

fn inode(socket: &Socket) -> u64 {
    let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
    fs::metadata(path).map_or(0, |metadata| metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_is_parsed() {
        let line = "  331: 00000000000000000000000000000000:9090 00000000000000000000000000000000:0000 \
                    07 00000000:00000000 00:00000000 00000000     0        0 48711 2 0000000000000000 4242";
        let entry = Entry::parse(line).expect("a line as Linux prints it");
        assert_eq!((entry.inode, entry.drops), (48711, 4242));
    }
}
