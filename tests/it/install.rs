//! The commands of docs/operating.md that install from source, run in a temporary root directory;
//! the files of the package for crates; the service of Windows; and the app for RouterOS.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use tempfile::TempDir;

use crate::readme::page;
use crate::rules::contrib;
use crate::support::{Exporter, PROGRAM, tool};

/// Stands for sudo: installs below `$ROOT`, and lets systemctl work there without a running systemd.
const SUDO: &str = r#"#!/bin/bash
set -e
case $1 in
install) exec "${@:1:$#-1}" "$ROOT${!#}" ;;
systemctl)
    [ "$2" = daemon-reload ] && exit
    [ "$2 $3" = "enable --now" ]
    exec systemctl --root="$ROOT" enable "${@:4}" ;;
esac
exit 1
"#;

#[test]
fn the_commands_install_a_unit_that_systemd_accepts() {
    let operating = page("docs/operating.md");
    let (_, block) = operating
        .split_once("```sh\ncargo build --release")
        .unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let (_, commands) = block.split_once('\n').unwrap();
    assert!(commands.lines().all(|line| line.starts_with("sudo ")));

    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    for name in ["tools", "source/target/release", "root/etc/default"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    for name in ["usr/local/bin", "etc/systemd/system", "usr/lib/systemd"] {
        fs::create_dir_all(path("root").join(name)).unwrap();
    }
    // systemd's own units, which the installed ones refer to.
    symlink("usr/lib", path("root/lib")).unwrap();
    let mut copy = Command::new("cp");
    copy.args(["-r", "/lib/systemd/system"]);
    tool(copy.arg(path("root/usr/lib/systemd/")));
    symlink(contrib(""), path("source/contrib")).unwrap();
    let program = "source/target/release/tzsp_packetstream_exporter";
    fs::copy(PROGRAM, path(program)).unwrap();
    fs::write(path("tools/sudo"), SUDO).unwrap();
    fs::set_permissions(path("tools/sudo"), fs::Permissions::from_mode(0o755)).unwrap();

    let root = path("root");
    let mut shell = Command::new("sh");
    let search = format!(
        "{}:{}",
        path("tools").display(),
        std::env::var("PATH").unwrap()
    );
    shell
        .args(["-e", "-c", commands])
        .current_dir(path("source"));
    tool(shell.env("PATH", search).env("ROOT", &root));

    let wanted = "etc/systemd/system/multi-user.target.wants/tzsp-packetstream-exporter.service";
    assert!(root.join(wanted).is_symlink());
    verify(&root, true);
    fs::remove_file(root.join("etc/default/tzsp-packetstream-exporter")).unwrap();
    verify(&root, true);
    fs::remove_file(root.join("usr/local/bin/tzsp_packetstream_exporter")).unwrap();
    verify(&root, false);
}

#[track_caller]
fn verify(root: &Path, is_valid: bool) {
    let mut analyze = Command::new("systemd-analyze");
    let root = format!("--root={}", root.display());
    analyze.args(["verify", "--man=no", &root]);
    analyze.args([
        "tzsp-packetstream-exporter.service",
        "tzsp-packetstream-capture.service",
    ]);
    let output = analyze.output().expect("`cargo xtask ci` installs it");
    let printed = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.success(), is_valid, "{printed}");
    assert_eq!(printed.contains("tzsp"), !is_valid, "{printed}");
}

/// Without the file of options, the unit for packet capture still captures.
#[test]
fn the_units_have_the_options_of_their_file_as_defaults() {
    let options = fs::read_to_string(contrib("systemd/tzsp-packetstream-exporter.default"));
    let options = options.unwrap();
    let (_, capture) = options.split_once("\nCAPTURE_ARGS=\"").unwrap();
    let (capture, _) = capture.split_once('"').unwrap();
    assert!(options.contains("\nARGS=\"\"\n"));
    let unit = fs::read_to_string(contrib("systemd/tzsp-packetstream-capture.service")).unwrap();
    let default =
        format!("\nEnvironment=\"CAPTURE_ARGS={capture}\"\nEnvironmentFile=-/etc/default/");
    assert!(unit.contains(&default), "{default}");
}

#[test]
fn the_crate_has_what_a_build_needs_and_no_tests() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["package", "--list", "--allow-dirty", "--offline"]);
    let list = tool(cargo.current_dir(env!("CARGO_MANIFEST_DIR")));
    let files: Vec<_> = list.lines().collect();
    for needed in [
        "Cargo.lock",
        "LICENSE",
        "README.md",
        "build.rs",
        "src/main.rs",
        "src/http/site/style.css",
        "contrib/man/tzsp_packetstream_exporter.1",
    ] {
        assert!(files.contains(&needed), "{needed}");
    }
    // The limit of crates.io is 10 MB, compressed.
    let sizes = files.iter().filter_map(|file| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        Some(file.metadata().ok()?.len())
    });
    let size: u64 = sizes.sum();
    assert!((1_000_000..4_000_000).contains(&size), "{size} bytes");
    for unneeded in ["testdata/", "tests/", "xtask/", "fuzz/", "benches/", ".ci/"] {
        assert!(!files.iter().any(|file| file.starts_with(unneeded)));
    }
}

#[test]
fn the_readme_runs_the_image_of_this_version() {
    let image = format!(
        " tzsp-packetstream-exporter:{}\n",
        env!("CARGO_PKG_VERSION")
    );
    assert!(page("README.md").contains(&image), "{image}");
}

/// Prints the texts and attributes in an XML file, each with the path of its element.
const ELEMENTS: &str = r#"
import sys, xml.etree.ElementTree as tree
def show(element, path):
    path += "/" + element.tag
    if (element.text or "").strip():
        print(path, element.text, sep="=")
    for attribute in element.items():
        print(path, *attribute)
    for child in element:
        show(child, path)
show(tree.parse(sys.argv[1]).getroot(), "")
"#;

/// The elements are those of <https://github.com/winsw/winsw/blob/v2/doc/xmlConfigFile.md>.
#[test]
fn the_service_of_windows_is_well_formed_and_its_options_are_valid() {
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", ELEMENTS]);
    let elements = tool(python.arg(contrib("windows/tzsp-exporter.xml")));
    insta::assert_snapshot!(elements, @r"
    /service/id=tzspexporter
    /service/name=TZSP exporter
    /service/description=Exports the traffic that routers mirror in TZSP to Prometheus.
    /service/executable=%BASE%\tzsp_packetstream_exporter.exe
    /service/arguments=--names dhcp
    /service/serviceaccount/domain=NT AUTHORITY
    /service/serviceaccount/user=LocalService
    /service/stoptimeout=10 sec
    /service/stopparentprocessfirst=true
    /service/onfailure action restart
    /service/onfailure delay 10 sec
    /service/logpath=%BASE%\logs
    /service/log mode roll-by-size
    /service/log/sizeThreshold=10240
    /service/log/keepFiles=8
    ");
    let arguments = "/service/arguments=";
    let options = elements
        .lines()
        .find_map(|line| line.strip_prefix(arguments));
    let options = options.unwrap().split(' ');
    let words = ["tzsp_packetstream_exporter"].into_iter().chain(options);
    tzsp_packetstream_exporter::cli::task(words.map(Into::into)).unwrap();

    // The page names the same files and service.
    let windows = page("docs/windows.md");
    for named in [
        r"Copy-Item tzsp_packetstream_exporter.exe, contrib\windows\tzsp-exporter.xml $to",
        r#"Copy-Item WinSW-x64.exe "$to\tzsp-exporter.exe""#,
        r#"New-Item -ItemType Directory "$to\logs""#,
        "sc.exe qc tzspexporter\n",
    ] {
        assert!(windows.contains(named), "{named}");
    }
}

#[test]
fn commands_for_windows_have_valid_options() {
    let windows = page("docs/windows.md");
    let commands = windows.split("tzsp_packetstream_exporter.exe --").skip(1);
    let commands: Vec<_> = commands
        .map(|command| {
            let end = command.find(['\n', '>', '`']).unwrap();
            format!("--{}", command[..end].trim())
        })
        .collect();
    let expected = ["--names dhcp", "--names dhcp 2", "--interface Ethernet"];
    assert_eq!(commands, expected);
    for command in commands {
        // A redirection of standard error.
        let options = command.strip_suffix(" 2").unwrap_or(&command).split(' ');
        let words = ["tzsp_packetstream_exporter"].into_iter().chain(options);
        tzsp_packetstream_exporter::cli::task(words.map(Into::into)).unwrap();
    }
}

/// An app of RouterOS 7.22, with the keys that it may have. Source:
/// <https://github.com/tikoci/restraml/blob/main/docs/7.22/routeros-app-yaml-schema.json>.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct App {
    name: String,
    descr: String,
    category: String,
    url_path: String,
    services: BTreeMap<String, AppService>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppService {
    image: String,
    container_name: String,
    command: Vec<String>,
    ports: Vec<String>,
    restart: String,
}

#[test]
fn the_app_for_routeros_has_the_right_structure_and_options() {
    let text = fs::read_to_string(contrib("routeros-app.yaml")).unwrap();
    let mut app: App = serde_saphyr::from_str(&text).unwrap();
    assert_eq!((&*app.category, &*app.url_path), ("monitoring", "/"));
    assert!(app.descr.ends_with('.'));
    let service = app.services.remove("exporter").unwrap();
    assert!(app.services.is_empty());
    assert_eq!(service.container_name, app.name);
    assert_eq!(service.restart, "unless-stopped");
    let version = format!(":{}", env!("CARGO_PKG_VERSION"));
    assert!(service.image.ends_with(&version), "{}", service.image);
    // [IP:]PORT:PORT/PROTOCOL:LABEL
    let ports = [
        "[accessIP]:9184:9184/tcp:web",
        "[accessIP]:37008:37008/udp:tzsp",
    ];
    assert_eq!(service.ports, ports);

    // The same options as for a container without an app, and the program accepts them.
    let options = service.command.join(" ");
    let container = page("docs/routeros-container.md");
    assert!(
        container.contains(&format!("cmd=\"{options}\"")),
        "{options}"
    );
    let mut arguments: Vec<_> = service.command.iter().map(String::as_str).collect();
    arguments.extend(["--listen-port", "0"]);
    let exporter = Exporter::start(&arguments);
    let scrape = exporter.scrape();
    assert_eq!(scrape.value("tzsp_flows_limit"), 1000.0);
    assert_eq!(scrape.value("tzsp_hosts_limit"), 200.0);
}
