//! Kea, memfile backend: a table in CSV, to which changes are appended, so that the last row of an
//! address is the current one.
//!
//! ```text
//! address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context
//! 192.168.1.10,02:00:00:00:00:0a,,3600,1700000000,1,0,0,laptop.lan.,0,
//! ```
//!
//! Values have no quotes; commas in them are written as `&#x2c`.

use std::net::IpAddr;

use super::super::file_names::{FileError, FileNames};
use super::super::text::Name;

/// The state of a lease that an address is assigned with.
const ASSIGNED: &str = "0";

/// The positions of the columns that are read.
struct Columns {
    address: usize,
    lifetime: usize,
    name: usize,
    /// Missing in the files of old versions.
    state: Option<usize>,
}

/// Whether this is the first line of such a file.
pub(super) fn is_header(line: &str) -> bool {
    columns(line).is_some()
}

fn columns(header: &str) -> Option<Columns> {
    let position = |name| header.split(',').position(|column| column == name);
    Some(Columns {
        address: position("address")?,
        lifetime: position("valid_lifetime")?,
        name: position("hostname")?,
        state: position("state"),
    })
}

pub(super) fn parse(text: &str) -> Result<FileNames, FileError> {
    let mut names = FileNames::default();
    let mut columns_now = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some(columns) = &columns_now else {
            columns_now = columns(line);
            continue;
        };
        let (address, name) = lease(columns, line)
            .ok_or_else(|| FileError::line(number, "no lease", line.as_bytes()))?;
        match name {
            Some(name) => names.insert(address, name),
            None => names.remove(&address),
        };
    }
    Ok(names)
}

/// Returns the address of a row, and its name if it is assigned.
fn lease(columns: &Columns, row: &str) -> Option<(IpAddr, Option<Name>)> {
    let values: Vec<_> = row.split(',').collect();
    let address = values.get(columns.address)?.parse().ok()?;
    let lifetime = *values.get(columns.lifetime)?;
    let name = values.get(columns.name)?;
    let state = match columns.state {
        Some(state) => *values.get(state)?,
        None => ASSIGNED,
    };
    // A released lease has no lifetime left.
    let is_assigned = state == ASSIGNED && lifetime != "0";
    let name = name.replace("&#x2c", ",");
    let name = is_assigned.then(|| Name::new(name.as_bytes())).flatten();
    Some((address, name))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, check_refused};

    const HEADER: &str = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,\
                          fqdn_rev,hostname,state,user_context\n";

    #[test]
    fn the_last_row_of_an_address_counts() {
        let rows = "192.168.1.10,02:00:00:00:00:0a,,3600,1700000000,1,0,0,laptop.lan.,0,\n\
                    192.168.1.11,02:00:00:00:00:0b,,3600,1700000000,1,0,0,phone,0,\n\
                    192.168.1.12,02:00:00:00:00:0c,,3600,1700000000,1,0,0,,0,\n\
                    192.168.1.13,02:00:00:00:00:0d,,3600,1700000000,1,0,0,declined,1,\n\
                    192.168.1.14,02:00:00:00:00:0e,,3600,1700000000,1,0,0,a&#x2cb,0,\n\
                    192.168.1.11,02:00:00:00:00:0b,,0,1700000000,1,0,0,phone,0,\n\
                    192.168.1.10,02:00:00:00:00:0f,,3600,1700000000,1,0,0,tablet,0,\n";
        let expected = [("192.168.1.10", "tablet"), ("192.168.1.14", "a,b")];
        check(&format!("{HEADER}{rows}"), &expected);
        check(HEADER, &[]);
    }

    #[test]
    fn columns_are_found_by_their_names() {
        check(
            "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,\
             prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context\n\
             2001:db8::10,00:01:00:01,3600,1700000000,1,1800,0,1,128,1,1,six.lan.,,0,\n",
            &[("2001:db8::10", "six.lan")],
        );
    }

    #[test]
    fn a_row_that_is_half_written_is_an_error() {
        check_refused(
            &format!("{HEADER}192.168.1.10,02:00:00:00"),
            "line 2: no lease: '192.168.1.10,02:00:00:00'",
        );
    }
}
