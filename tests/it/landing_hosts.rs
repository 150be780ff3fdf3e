//! Hosts and the chart of the last hour on the landing page, in a real browser.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::{Browser, Tab};
use crate::landing::{check_width, load, shown};
use crate::support::Exporter;

/// The names and shares of the hosts, and the bits per second in the chart's legend and in the two
/// columns of the table.
fn hosts(browser: &mut Browser, tab: &Tab) -> Value {
    let hosts = "(() => {
        const units = {bit: 1, kbit: 1e3, Mbit: 1e6, Gbit: 1e9};
        const bits = text => {
            const [, number, unit] = text.match(/([0-9.]+) ([a-zA-Z]+)\\/s/);
            return number * units[unit];
        };
        const rows = [...document.querySelectorAll('section:has(#hosts) tbody tr')];
        const column = cell =>
            rows.map(row => bits(row.cells[cell].textContent)).reduce((sum, rate) => sum + rate, 0);
        return {
            rows: rows.map(row => [0, 3].map(cell => row.cells[cell].textContent).join(' ')),
            down: [bits(document.querySelector('.key.down').textContent), column(1)],
            up: [bits(document.querySelector('.key.up').textContent), column(2)],
        };
    })()";
    browser.evaluate(tab, hosts)
}

/// How the chart is drawn: whether curves are as wide as the chart and as high as the rates, how
/// small its text is, whether all of it is inside, and its colour.
fn chart(browser: &mut Browser, tab: &Tab) -> Value {
    let chart = "(() => {
        const chart = document.querySelector('svg.chart');
        const around = chart.getBoundingClientRect();
        const curve = name => chart.querySelector('.' + name).getBBox();
        const texts = [...chart.querySelectorAll('text')];
        const parts = texts.map(text => text.getBoundingClientRect());
        const is_inside = part => part.left >= around.left - 1 && part.right <= around.right + 1
            && part.top >= around.top && part.bottom <= around.bottom;
        return {
            ends: ['down', 'up'].map(name => Math.round(curve(name).x + curve(name).width)),
            width: Math.abs(
                chart.querySelector('.grid').getBoundingClientRect().width - around.width) < 2,
            height: curve('down').height,
            top: texts[chart.querySelectorAll('text').length - 4].textContent,
            axis: texts.slice(-3).map(text => text.textContent),
            inside: parts.every(is_inside),
            size: Math.min(...texts.map(text => parseFloat(getComputedStyle(text).fontSize))),
            colour: getComputedStyle(texts[0]).fill,
            name: document.getElementById(
                chart.getAttribute('aria-labelledby').split(' ')[0]).textContent,
            description: document.getElementById(
                chart.getAttribute('aria-labelledby').split(' ')[1]).textContent,
        };
    })()";
    browser.evaluate(tab, chart)
}

/// Of 10,105,000 bytes that hosts receive and send: 4,925,000, 2,500,000, twice 1,200,000, 240,000,
/// 25,000 and 15,000.
const HOSTS: [&str; 7] = [
    "laptop192.168.88.50 48.7 %",
    "<b>tv</b>192.168.88.23 24.7 %",
    "192.168.88.10 11.9 %",
    "192.168.88.51 11.9 %",
    "192.168.88.31 2.4 %",
    "192.168.88.53 0.2 %",
    "192.168.88.1 0.1 %",
];

#[test]
fn a_browser_shows_hosts_by_name_and_the_last_hour() {
    let names = TempDir::new().unwrap();
    let file = names.path().join("hosts");
    fs::write(&file, "192.168.88.50 laptop\n192.168.88.23 <b>tv</b>\n").unwrap();
    let source = format!("hosts={}", file.display());
    let mut browser = Browser::start();
    let plain = browser.tab(1100, 760);
    let off = json!({"value": true});
    browser.ask(&plain, "Emulation.setScriptExecutionDisabled", &off);
    let phone = browser.tab(360, 740);
    let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
    browser.ask(&phone, "Emulation.setEmulatedMedia", &dark);
    let light = "rgb(27, 37, 48)";
    // After the browser, which may take long to start: the page is to show all that was sent.
    let mut exporter = Exporter::start(&["--listen-port", "0", "--names", &source]);
    load(&mut exporter);
    for (tab, name, colour) in [
        (&plain, "hosts", light),
        (&phone, "hosts-phone", "rgb(230, 234, 239)"),
    ] {
        browser.open(tab, &exporter.url("/"));
        shown(&mut browser, tab);
        let hosts = hosts(&mut browser, tab);
        assert_eq!(hosts["rows"], json!(HOSTS), "{name}");
        // The exporter runs for less than a minute: chart and table show the same time. Rates in
        // the table are rounded to three digits.
        let number = |value: &Value| value.as_f64().unwrap();
        let is_near = |value: f64, expected: f64| (value / expected - 1.0).abs() < 0.01;
        for direction in ["down", "up"] {
            let [of_all, sum] = [0, 1].map(|part| number(&hosts[direction][part]));
            assert!(is_near(sum, of_all), "{name}: {hosts}");
        }
        let ratio = number(&hosts["down"][0]) / number(&hosts["up"][0]);
        assert!(is_near(ratio, 7_915_000.0 / 2_190_000.0), "{name}: {hosts}");

        let chart = chart(&mut browser, tab);
        assert_eq!(chart["ends"], json!([1000, 1000]), "{name}: {chart}");
        assert_eq!(chart["width"], json!(true), "{name}: {chart}");
        assert_eq!(chart["axis"], json!(["2m ago", "1m ago", "now"]));
        assert_eq!(chart["inside"], json!(true), "{name}: {chart}");
        assert!(number(&chart["size"]) >= 12.0, "{name}: {chart}");
        assert_eq!(chart["colour"], json!(colour), "{name}");
        assert_eq!(chart["name"], json!("Down and up in the last 2m"));
        let description = chart["description"].as_str().unwrap();
        assert!(description.contains("Down: "), "{description}");
        // The highest label is the height of the plot, 1,000.
        let (top, unit) = chart["top"].as_str().unwrap().split_once(' ').unwrap();
        let top: f64 = top.parse().unwrap();
        let scale = match unit {
            "kbit/s" => 1e3,
            "Mbit/s" => 1e6,
            "Gbit/s" => 1e9,
            unit => panic!("{unit}"),
        };
        let height = number(&hosts["down"][0]) / (top * scale) * 1000.0;
        assert!(
            (number(&chart["height"]) - height).abs() < 6.0,
            "{name}: {chart}"
        );
        check_width(&mut browser, tab, if name == "hosts" { 1100 } else { 360 });
        let picture = browser.picture(tab);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("landing-{name}.png"));
        fs::write(path, picture).unwrap();
    }
    assert_eq!(browser.console_messages(), Vec::<&Value>::new());
}
