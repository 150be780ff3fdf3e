//! contrib/compose, without Docker: its structure, the files that it mounts, and that its parts refer
//! to each other correctly. The structures here refuse keys that they do not know, so that a
//! misspelt one is found.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tempfile::TempDir;

use crate::dashboard::dashboard;
use crate::rules::contrib;
use crate::support::tool;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Compose {
    name: String,
    services: BTreeMap<String, Service>,
    volumes: BTreeMap<String, Option<IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    image: String,
    build: Option<Build>,
    #[serde(default)]
    command: Vec<String>,
    ports: Vec<String>,
    #[serde(default)]
    volumes: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    cap_drop: Vec<String>,
    #[serde(default)]
    security_opt: Vec<String>,
    #[serde(default)]
    depends_on: BTreeMap<String, Dependency>,
    healthcheck: Healthcheck,
    restart: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Build {
    context: String,
    dockerfile: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dependency {
    condition: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Healthcheck {
    test: Vec<String>,
    interval: String,
    start_period: String,
}

#[derive(Deserialize, PartialEq, Debug)]
struct Prometheus {
    global: BTreeMap<String, String>,
    rule_files: Vec<String>,
    scrape_configs: Vec<Job>,
}

#[derive(Deserialize, PartialEq, Debug)]
struct Job {
    job_name: String,
    static_configs: Vec<Targets>,
}

#[derive(Deserialize, PartialEq, Debug)]
struct Targets {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct DataSources {
    datasources: Vec<DataSource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DataSource {
    r#type: String,
    url: String,
    is_default: bool,
    json_data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Providers {
    providers: Vec<Provider>,
}

#[derive(Deserialize)]
struct Provider {
    r#type: String,
    options: BTreeMap<String, String>,
}

#[track_caller]
fn parsed<T: DeserializeOwned>(path: &Path) -> T {
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn compose() -> Compose {
    parsed(&contrib("compose/compose.yaml"))
}

/// The files of this project in a container: the path on the host by the path in the container.
fn mounts(service: &Service) -> BTreeMap<&str, PathBuf> {
    let files = service.volumes.iter().filter_map(|volume| {
        let (source, target) = volume.split_once(':').unwrap();
        source.starts_with('.').then(|| {
            let target = target.strip_suffix(":ro");
            let target = target.unwrap_or_else(|| panic!("{volume} is writable"));
            (target, contrib("compose").join(source))
        })
    });
    files.collect()
}

#[test]
fn every_file_and_volume_exists() {
    let compose = compose();
    assert_eq!(compose.name, "tzsp");
    let names: Vec<_> = compose.services.keys().collect();
    assert_eq!(names, ["exporter", "grafana", "prometheus"]);
    let mut files = 0;
    for service in compose.services.values() {
        for path in mounts(service).values() {
            assert!(path.is_file(), "{}", path.display());
            files += 1;
        }
        for volume in service.volumes.iter().filter(|it| !it.starts_with('.')) {
            let (name, _) = volume.split_once(':').unwrap();
            assert!(compose.volumes.contains_key(name), "{volume}");
        }
        if let Some(build) = &service.build {
            let context = contrib("compose").join(&build.context);
            assert!(context.join("Cargo.lock").is_file());
            assert!(context.join(&build.dockerfile).is_file());
        }
    }
    assert_eq!(files, 6);
}

#[test]
fn every_image_has_a_version_and_a_health_check() {
    for (name, service) in compose().services {
        let (_, version) = service.image.rsplit_once(':').unwrap();
        let version = version.trim_start_matches('v');
        let numbers: Vec<_> = version.split('.').collect();
        assert_eq!(numbers.len(), 3, "{name}: {version}");
        assert!(numbers.iter().all(|number| number.parse::<u32>().is_ok()));
        let Healthcheck {
            test,
            interval,
            start_period,
        } = service.healthcheck;
        assert_eq!(test[0], "CMD", "{name}");
        assert!(interval.ends_with('s') && start_period.ends_with('s'));
        assert_eq!(service.restart, "unless-stopped");
        for dependency in service.depends_on.values() {
            assert_eq!(dependency.condition, "service_healthy");
        }
    }
}

#[test]
fn the_exporter_is_the_image_of_the_containerfile() {
    let exporter = compose().services.remove("exporter").unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        exporter.image,
        format!("tzsp-packetstream-exporter:{version}")
    );
    let containerfile = fs::read_to_string(contrib("container/Containerfile")).unwrap();
    let test = format!("CMD {:?}\n", &exporter.healthcheck.test[1..]);
    assert!(containerfile.contains(&test), "{test}");
    assert!(exporter.read_only);
    assert_eq!(exporter.cap_drop, ["ALL"]);
    assert_eq!(exporter.security_opt, ["no-new-privileges:true"]);
    assert_eq!(exporter.command, ["--names", "dhcp"]);
}

/// Both start the program in the same way, and differ only in where it comes from.
#[test]
fn the_image_with_tshark_starts_the_program_as_the_other_does() {
    let plain = instructions("container/Containerfile");
    let with_tshark = instructions("container/Containerfile.tshark");
    let start = |instructions: &[(String, String)]| -> Vec<_> {
        let start = ["EXPOSE", "HEALTHCHECK", "ENTRYPOINT"];
        let own = instructions.iter();
        own.filter(|(name, _)| start.contains(&name.as_str()))
            .cloned()
            .collect()
    };
    assert_eq!(start(&with_tshark).len(), 3);
    assert_eq!(start(&with_tshark), start(&plain));

    let names: Vec<_> = with_tshark.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["FROM", "RUN", "COPY", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT"];
    assert_eq!(names, expected);
    let [_, (_, install), (_, copy), ..] = with_tshark.as_slice() else {
        unreachable!("there are six");
    };
    // The shell of the image is dash, which is also the sh of Debian.
    let checked = Command::new("sh").args(["-n", "-c", install]).status();
    assert!(checked.unwrap().success(), "{install}");
    // Tarballs have the program at the top.
    assert_eq!(copy, "tzsp_packetstream_exporter /usr/bin/");
}

/// The instructions of a file in contrib/, each with its arguments. A backslash continues a line.
fn instructions(file: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(contrib(file)).unwrap();
    let text = text.replace("\\\n", " ");
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, arguments)| (name.to_owned(), arguments.to_owned()))
        .collect()
}

/// Ports without a password are open to the host alone. No password has a default.
#[test]
fn only_the_stream_and_grafana_are_open_to_the_network() {
    let mut services = compose().services;
    let open = services
        .values()
        .flat_map(|service| &service.ports)
        .filter(|port| !port.starts_with("127.0.0.1:"));
    let open: Vec<_> = open.collect();
    assert_eq!(open, ["37008:37008/udp", "3000:3000"]);
    let grafana = services.remove("grafana").unwrap();
    let password = &grafana.environment["GF_SECURITY_ADMIN_PASSWORD"];
    assert!(
        password.starts_with("${GRAFANA_PASSWORD:?"),
        "the variable is required: {password}"
    );
}

#[test]
fn prometheus_scrapes_the_exporter_with_the_rules_of_the_project() {
    let services = compose().services;
    let inside = TempDir::new().unwrap();
    for (target, source) in mounts(&services["prometheus"]) {
        let name = target.strip_prefix("/etc/prometheus/").unwrap();
        fs::copy(source, inside.path().join(name)).unwrap();
    }
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "config", "prometheus.yml"]);
    let checked = tool(promtool.current_dir(inside.path()));
    assert!(checked.contains("SUCCESS: 2 rule files found"), "{checked}");

    let mut expected: Prometheus = parsed(&contrib("prometheus/prometheus.yml"));
    let targets = &mut expected.scrape_configs[0].static_configs[0].targets;
    assert_eq!(targets, &["localhost:9184"]);
    assert!(services.contains_key("exporter"));
    *targets = vec!["exporter:9184".to_owned()];
    let config = inside.path().join("prometheus.yml");
    assert_eq!(parsed::<Prometheus>(&config), expected);
}

#[test]
fn grafana_finds_its_data_source_and_dashboard() {
    let services = compose().services;
    let prometheus: Prometheus = parsed(&contrib("compose/prometheus.yml"));
    let grafana = &services["grafana"];
    let mounts = mounts(grafana);
    let provisioned = |kind: &str| &mounts[format!("/etc/grafana/provisioning/{kind}").as_str()];

    let sources: DataSources = parsed(provisioned("datasources/tzsp.yml"));
    let [source] = &sources.datasources[..] else {
        panic!("one data source")
    };
    assert!(source.is_default && services.contains_key("prometheus"));
    assert_eq!(source.url, "http://prometheus:9090");
    let interval = &prometheus.global["scrape_interval"];
    assert_eq!(&source.json_data["timeInterval"], interval);
    // The dashboard asks for a data source of this type, and takes the default.
    let variable = &dashboard()["templating"]["list"][0];
    assert_eq!(variable["type"], "datasource");
    assert_eq!(variable["query"], source.r#type.as_str());

    let providers: Providers = parsed(provisioned("dashboards/tzsp.yml"));
    let [provider] = &providers.providers[..] else {
        panic!("one provider")
    };
    assert_eq!(provider.r#type, "file");
    let path = format!("{}/tzsp-traffic.json", provider.options["path"]);
    assert!(mounts[path.as_str()].ends_with("grafana/tzsp-traffic.json"));
    let home = "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH";
    assert_eq!(grafana.environment[home], path);
}
