//! The table of services: from IANA's registry to the file that the exporter includes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::project;

const PROTOCOLS: [&str; 4] = ["tcp", "udp", "sctp", "dccp"];
/// Names that are better known than the one that the rule would take. RFC 8314, section 7.3, gave
/// port 465 a second name.
const PREFERRED: [(u16, &str, &str); 1] = [(465, "tcp", "submissions")];

#[derive(Args)]
pub(crate) struct Options {
    /// IANA's registry as CSV, from
    /// <https://www.iana.org/assignments/service-names-port-numbers/service-names-port-numbers.csv>
    file: PathBuf,

    /// Which revision of the registry it is, for the first line of the table: a date such as
    /// 2026-09-17
    #[arg(long)]
    revision: String,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let csv = fs::read_to_string(&options.file)
        .with_context(|| format!("cannot read {}", options.file.display()))?;
    let table = table(&csv, &options.revision)?;
    let path = project::root().join("src/flow/services/iana.txt");
    fs::write(&path, table).with_context(|| format!("cannot write {}", path.display()))
}

/// Converts the registry to lines such as `https 443/tcp/udp/sctp`.
///
/// Of several names of a port, the first with a description is taken, or else the first.
fn table(csv: &str, revision: &str) -> Result<String> {
    let mut named: BTreeMap<(u16, usize), (String, bool)> = BTreeMap::new();
    for record in records(csv).into_iter().skip(1) {
        let [name, ports, protocol, description, ..] = &record[..] else {
            bail!("a line has fewer than 4 columns: {record:?}");
        };
        let Some(position) = PROTOCOLS.iter().position(|known| known == protocol) else {
            continue;
        };
        if name.is_empty() || ports.is_empty() {
            continue;
        }
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let name = name.split_whitespace().collect::<Vec<_>>().join("-");
        let is_described = !description.is_empty();
        for port in first.parse::<u16>()?..=last.parse::<u16>()? {
            if port == 0 {
                continue;
            }
            let entry = named
                .entry((port, position))
                .or_insert((name.clone(), is_described));
            let is_preferred = PREFERRED.contains(&(port, protocol, &name));
            if is_preferred || is_described && !entry.1 {
                *entry = (name.clone(), is_described);
            }
        }
    }
    Ok(lines(&named, revision))
}

/// Writes one line for each run of ports with the same name and protocols.
fn lines(named: &BTreeMap<(u16, usize), (String, bool)>, revision: &str) -> String {
    let mut by_name: BTreeMap<(u16, &str), String> = BTreeMap::new();
    for ((port, protocol), (name, _)) in named {
        let protocols = by_name.entry((*port, name)).or_default();
        protocols.extend(["/", PROTOCOLS[*protocol]]);
    }
    let mut runs: Vec<(u16, u16, &str, &str)> = Vec::new();
    for ((port, name), protocols) in &by_name {
        let run = runs.iter_mut().find(|(_, last, run_name, run_protocols)| {
            last.checked_add(1) == Some(*port) && run_name == name && run_protocols == protocols
        });
        match run {
            Some((_, last, ..)) => *last = *port,
            None => runs.push((*port, *port, name, protocols)),
        }
    }
    let mut table = format!(
        "# IANA's Service Name and Transport Protocol Port Number Registry, {revision}.\n\
         # Written by `cargo xtask services`: do not edit.\n"
    );
    for (first, last, name, protocols) in runs {
        let ports = if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        };
        let _ = writeln!(table, "{name} {ports}{protocols}");
    }
    table
}

/// Takes CSV apart (RFC 4180): fields may be quoted, and quoted ones may have commas, line breaks and
/// doubled quotes.
fn records(csv: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut is_quoted = false;
    let mut characters = csv.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => is_quoted = !is_quoted,
            character if is_quoted => field.push(character),
            ',' => record.push(std::mem::take(&mut field)),
            '\r' => {}
            '\n' => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            character => field.push(character),
        }
    }
    if !field.is_empty() || !record.is_empty() {
        record.push(field);
        records.push(record);
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_one_name_for_each_port() {
        let csv = "Service Name,Port Number,Transport Protocol,Description,Assignee\r\n\
            ,0,tcp,Reserved,x\r\n\
            http,80,tcp,\"World Wide Web, \"\"HTTP\"\"\r\non two lines\",x\r\n\
            http,80,udp,World Wide Web HTTP,x\r\n\
            www,80,tcp,World Wide Web HTTP,x\r\n\
            urd,465,tcp,URL Rendezvous Directory for SSM,x\r\n\
            submissions,465,tcp,Message Submission over TLS protocol,x\r\n\
            igmpv3lite,465,udp,IGMP over UDP for SSM,x\r\n\
            ssh,22,sctp,SSH,x\r\n\
            shilp,2049,tcp,,x\r\n\
            nfs,2049,tcp,Network File System,x\r\n\
            x11,6000-6002,tcp,X Window System,x\r\n\
            x11,6000-6002,udp,X Window System,x\r\n\
            Net Name,7000,udp,,x\r\n\
            acap,,tcp,no port,x\r\n\
            ,81,tcp,Unassigned,x\r\n\
            unknown,82,,no protocol,x\r\n";
        let expected = "\
            # IANA's Service Name and Transport Protocol Port Number Registry, 2026-09-17.\n\
            # Written by `cargo xtask services`: do not edit.\n\
            ssh 22/sctp\n\
            http 80/tcp/udp\n\
            igmpv3lite 465/udp\n\
            submissions 465/tcp\n\
            nfs 2049/tcp\n\
            x11 6000-6002/tcp/udp\n\
            Net-Name 7000/udp\n";
        assert_eq!(table(csv, "2026-09-17").expect("a table"), expected);
    }
}
