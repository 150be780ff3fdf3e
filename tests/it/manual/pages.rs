//! Manual pages, generated from the command line, with sections that it does not have.

use std::fmt::Write;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use tzsp_packetstream_exporter::cli::Cli;

use super::NAME;

/// The file names and texts of all pages.
pub(super) fn pages() -> Vec<(String, String)> {
    let mut command = Cli::command().name(NAME).disable_help_subcommand(true);
    command.build();
    let subcommands = command.get_subcommands();
    let subcommands = subcommands.filter(|subcommand| !subcommand.is_hide_set());
    let all = std::iter::once(&command).chain(subcommands);
    all.map(page).collect()
}

fn page(command: &Command) -> (String, String) {
    let name = command.get_display_name().unwrap_or(NAME);
    let man = Man::new(command.clone())
        .title(name)
        .source(format!("{NAME} {}", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    let mut page = Vec::new();
    man.render(&mut page).unwrap();
    let page = String::from_utf8(page).unwrap();

    // The generated synopsis has no values.
    let (head, rest) = page.split_once(".SH SYNOPSIS\n").unwrap();
    let (_, rest) = rest.split_once(".SH DESCRIPTION\n").unwrap();
    let rest = rest.split("\n.SH VERSION").next().unwrap().trim_end();
    let synopsis = synopsis(command);
    let sections = sections(name);
    let text = format!("{head}.SH SYNOPSIS\n{synopsis}.SH DESCRIPTION\n{rest}\n{sections}");
    (format!("{name}.1"), text)
}

/// The command with its options and their values.
fn synopsis(command: &Command) -> String {
    let name = command.get_bin_name().unwrap_or(NAME);
    let mut text = format!(".B {}\n", escaped(name));
    let (files, options): (Vec<_>, Vec<_>) = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set())
        .partition(|argument| argument.is_positional());
    for argument in options.into_iter().chain(files) {
        let values = argument.get_value_names().unwrap_or_default();
        let value = values.first().map(|value| escaped(value));
        let value = value.filter(|_| argument.get_action().takes_values());
        let repeats = match argument.get_action() {
            clap::ArgAction::Append => " ...",
            _ => "",
        };
        let (open, close) = if argument.is_required_set() {
            ("", "")
        } else {
            ("[", "]")
        };
        let words = match (argument.get_long(), value) {
            (Some(long), Some(value)) => format!("\\fB\\-\\-{}\\fR \\fI{value}\\fR", escaped(long)),
            (Some(long), None) => format!("\\fB\\-\\-{}\\fR", escaped(long)),
            (None, Some(value)) => format!("\\fI{value}\\fR"),
            (None, None) => continue,
        };
        writeln!(text, "{open}{words}{close}{repeats}").unwrap();
    }
    if command.has_subcommands() {
        let name = escaped(name);
        writeln!(text, ".br\n.B {name}\n\\fICOMMAND\\fR ...").unwrap();
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('-', "\\-")
}

fn sections(name: &str) -> &'static str {
    match name.strip_prefix(NAME) {
        Some("-analyze") => ANALYZE,
        Some("-healthcheck") => HEALTHCHECK,
        _ => LIVE,
    }
}

const LIVE: &str = r#".SH EXIT STATUS
.TP
.B 0
It was asked to stop, by a signal.
.TP
.B 1
It cannot start or go on. A message on standard error says why, and what to do.
.TP
.B 2
The command line is invalid.
.SH SIGNALS
.TP
.BR SIGTERM ", " SIGINT
Counts the packets captured so far, answers open scrapes, and ends within two seconds.
.TP
.B SIGHUP
From a terminal that was closed, the same, unless started with
.BR nohup (1).
Otherwise ignored: files are reloaded by themselves.
.SH FILES
.TP
.I /etc/default/tzsp\-packetstream\-exporter
The options of the systemd units: ARGS of tzsp\-packetstream\-exporter.service, and CAPTURE_ARGS of
tzsp\-packetstream\-capture.service. It may be missing.
.PP
The files of
.BR \-\-web.config.file ", " \-\-names " and " \-\-geo\-database
are read again when they change, that of
.B \-\-services
is read at the start.
.SH EXAMPLES
Receive on UDP port 37008, with names of devices:
.PP
.RS 4
.EX
tzsp_packetstream_exporter \-\-names dhcp \-\-names resolve
.EE
.RE
.PP
Capture packets on an interface, and publish to this host only:
.PP
.RS 4
.EX
tzsp_packetstream_exporter \-\-interface eth0 \-\-capture native \-\-publish\-address 127.0.0.1
.EE
.RE
.PP
Few series, for many hosts:
.PP
.RS 4
.EX
tzsp_packetstream_exporter \-\-labels from,from_type,to_type \-\-prefix\-length public=24
.EE
.RE
.SH SEE ALSO
.BR tzsp_packetstream_exporter\-analyze (1),
.BR tzsp_packetstream_exporter\-healthcheck (1),
.BR tshark (1),
.BR dumpcap (1),
.BR prometheus (1),
.BR systemd.service (5),
.BR capabilities (7)
"#;

const ANALYZE: &str = r#".SH EXIT STATUS
.TP
.B 0
All files were read; or a signal ended the reading, or the reader of the output was gone. What was
counted until then is printed.
.TP
.B 1
A file could not be read, or the output not written. The results of other files are printed.
.TP
.B 2
The command line is invalid.
.SH SIGNALS
.TP
.BR SIGTERM ", " SIGINT
Stops reading, and prints what was counted. A second one ends it at once.
.SH FILES
The files of
.BR \-\-names ", " \-\-geo\-database " and " \-\-services
are read once, at the start. With many flows,
.B \-\-every
writes temporary files to the directory in the environment variable TMPDIR, or to
.IR /tmp .
.SH EXAMPLES
Tables for people:
.PP
.RS 4
.EX
tzsp_packetstream_exporter analyze \-\-format table capture.pcapng
.EE
.RE
.PP
A live capture by another program:
.PP
.RS 4
.EX
tcpdump \-i eth0 \-w \- udp port 37008 | tzsp_packetstream_exporter analyze \-
.EE
.RE
.PP
The mirrored frames, for Wireshark:
.PP
.RS 4
.EX
tzsp_packetstream_exporter analyze \-\-format none \-\-write\-inner inner.pcap capture.pcap
.EE
.RE
.SH SEE ALSO
.BR tzsp_packetstream_exporter (1),
.BR promtool (1),
.BR tcpdump (8),
.BR wireshark (1),
.BR pcap\-savefile (5)
"#;

const HEALTHCHECK: &str = r".SH EXIT STATUS
.TP
.B 0
The exporter answers with success; or it requires a client certificate, which only a running one can
do.
.TP
.B 1
It does not answer within 5 seconds, or not with success. A message on standard error says which.
.TP
.B 2
The command line is invalid.
.SH SIGNALS
None are caught.
.SH FILES
None are read.
.SH EXAMPLES
An exporter with TLS:
.PP
.RS 4
.EX
tzsp_packetstream_exporter healthcheck \-\-url https://localhost:9184
.EE
.RE
.PP
Whether a capture runs, too:
.PP
.RS 4
.EX
tzsp_packetstream_exporter healthcheck \-\-url http://localhost:9184/\-/ready
.EE
.RE
.SH SEE ALSO
.BR tzsp_packetstream_exporter (1),
.BR podman\-healthcheck (1),
.BR curl (1)
";
