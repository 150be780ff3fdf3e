//! The configuration for Home Assistant in docs/promql.md reads what `/api/hosts` answers.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::jq;
use crate::guide::blocks;
use crate::landing::load;
use crate::support::Exporter;

/// How the configuration begins.
pub(crate) const HOME_ASSISTANT: &str = "rest:\n";

#[derive(Deserialize)]
struct Configuration {
    rest: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    resource: String,
    sensor: Vec<Sensor>,
}

#[derive(Deserialize)]
struct Sensor {
    unique_id: String,
    value_template: String,
    json_attributes_path: Option<String>,
    #[serde(default)]
    json_attributes: Vec<String>,
}

#[track_caller]
fn configuration() -> Resource {
    let blocks = blocks("yaml");
    let block = blocks
        .iter()
        .find(|block| block.starts_with(HOME_ASSISTANT));
    let mut configuration: Configuration = serde_saphyr::from_str(block.unwrap()).unwrap();
    assert_eq!(configuration.rest.len(), 1);
    configuration.rest.remove(0)
}

/// The paths in a template: those from `value_json` on, and the attributes of hosts.
fn paths(template: &str) -> Vec<String> {
    let is_in_a_path = |letter: char| letter.is_ascii_alphanumeric() || "_.".contains(letter);
    let begins = template.split("value_json").skip(1);
    let from_root = begins.map(|rest| {
        let end = rest.find(|letter| !is_in_a_path(letter));
        rest[..end.unwrap_or(rest.len())].to_owned()
    });
    let attributes = ["attribute=\"", "selectattr(\""].into_iter();
    let attributes = attributes.flat_map(|begin| template.split(begin).skip(1));
    let of_hosts = attributes.map(|rest| format!(".hosts[0].{}", rest.split_once('"').unwrap().0));
    let of_busiest = template.split("busiest.").skip(1).map(|rest| {
        let end = rest.find(|letter| !is_in_a_path(letter));
        format!(".hosts[0].{}", &rest[..end.unwrap_or(rest.len())])
    });
    from_root.chain(of_hosts).chain(of_busiest).collect()
}

/// The busiest host of this load is 192.168.88.50, which receives 4,200,000 bytes; all receive
/// 7,915,000.
#[test]
fn sensors_of_home_assistant_find_their_values() {
    let directory = tempfile::TempDir::new().unwrap();
    let hosts = directory.path().join("hosts");
    std::fs::write(&hosts, "192.168.88.50 laptop\n").unwrap();
    let names = format!("hosts={}", hosts.display());
    let mut exporter = Exporter::start(&["--listen-port", "0", "--names", &names]);
    load(&mut exporter);

    let Resource { resource, sensor } = configuration();
    let (_, path) = resource.split_once(":9184").unwrap();
    let value = |filter: &str| jq(&exporter, path, filter);
    let mut found = Vec::new();
    for sensor in sensor {
        found.push(sensor.unique_id);
        let paths = paths(&sensor.value_template);
        assert!(!paths.is_empty(), "{}", sensor.value_template);
        for path in paths {
            assert_ne!(value(&path), Value::Null, "{path}");
        }
        if let Some(path) = sensor.json_attributes_path {
            let path = path.strip_prefix('$').unwrap();
            for attribute in sensor.json_attributes {
                let filter = format!("{path}.{attribute}");
                assert_ne!(value(&filter), Value::Null, "{filter}");
            }
        }
    }
    let expected = ["tzsp_download", "tzsp_laptop_download", "tzsp_busiest_host"];
    assert_eq!(found, expected);
    // What the templates compute from.
    assert_eq!(value(".total.received.bytes"), json!(7_915_000));
    assert_eq!(value(".window.seconds > 0"), json!(true));
    let laptop = "[.hosts[] | select(.name == \"laptop\") | .received.bytes]";
    assert_eq!(value(laptop), json!([4_200_000]));
    assert_eq!(value(".hosts[0].host"), json!("192.168.88.50"));
}
