//! Countries, network operators and services on the landing page, in a real browser.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::browser::{Browser, Tab};
use crate::landing::{check_width, load};
use crate::support::{Exporter, testdata};

/// The cells of a table, without the rate, which depends on the time.
fn table(browser: &mut Browser, tab: &Tab, title: &str) -> Value {
    let script = format!(
        "(() => {{
            const sections = [...document.querySelectorAll('section')];
            const section = sections.find(section =>
                section.querySelector('h2').textContent.startsWith('{title} in the last '));
            const titles = [...section.querySelectorAll('th')].map(cell => cell.textContent);
            const rate = titles.indexOf('rate');
            return [...section.querySelectorAll('tbody tr')].map(row => [...row.cells]
                .filter((_, position) => position != rate)
                .map(cell => cell.textContent).join(' | '));
        }})()"
    );
    browser.evaluate(tab, &script)
}

/// The flows of the office, added up by hand: 142.250.74.110 is in IE, 151.101.1.140 in AU and 8.8.8.8 in
/// US. All other addresses are not public. The packets are cut before their ports. Saves screenshots in
/// target/tmp.
#[test]
fn labels_of_countries_operators_and_services_have_tables() {
    let [countries, operators] =
        ["countries.mmdb", "operators.mmdb"].map(|name| testdata().join(name));
    let databases = [&countries, &operators]
        .map(|path| ["--geo-database", path.to_str().unwrap()])
        .concat();
    let labels = "from_country,to_country,from_asn,to_asn,service";
    let options = [&["--listen-port", "0", "--labels", labels][..], &databases].concat();
    let mut exporter = Exporter::start(&options);
    load(&mut exporter);
    let mut browser = Browser::start();
    for width in [1100, 360] {
        let tab = browser.tab(width, 740);
        browser.open(&tab, &exporter.url("/"));
        assert_eq!(
            table(&mut browser, &tab, "By country"),
            json!([
                "IE | none | 4.20 MB | 3,000 | 47.2 %",
                "AU | none | 2.50 MB | 2,000 | 28.1 %",
                "none | none | 2.08 MB | 2,200 | 23.4 %",
                "none | IE | 100.00 kB | 1,000 | 1.1 %",
                "none | US | 10.00 kB | 100 | 0.1 %",
            ])
        );
        assert_eq!(
            table(&mut browser, &tab, "By network"),
            json!([
                "AS64497 Example \"Two\" GmbH | none | 4.20 MB | 3,000 | 47.2 %",
                "AS64662 Network 150 | none | 2.50 MB | 2,000 | 28.1 %",
                "none | none | 2.08 MB | 2,200 | 23.4 %",
                "none | AS64497 Example \"Two\" GmbH | 100.00 kB | 1,000 | 1.1 %",
                "none | AS15169 GOOGLE | 10.00 kB | 100 | 0.1 %",
            ])
        );
        assert_eq!(
            table(&mut browser, &tab, "By service"),
            json!(["none | 8.89 MB | 8,300 | 100.0 %"])
        );
        check_width(&mut browser, &tab, width);
        let picture = browser.picture(&tab);
        let name = format!("landing-places-{width}.png");
        fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), picture).unwrap();
    }
    assert_eq!(browser.console_messages(), Vec::<&Value>::new());
}
