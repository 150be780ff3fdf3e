//! The queries of docs/geo.md, on series with known numbers.

use crate::guide::{blocks_of, check_query_at};
use crate::readme::page;
use crate::rules::check_metrics;

/// A series of flows with countries, network operators and a service.
fn flow(from: &str, countries: [&str; 2], operators: [&str; 2], service: &str) -> String {
    let [from_country, to_country] = countries;
    let [from_asn, to_asn] = operators;
    format!(
        "tzsp_observed_bytes_total{{from=\"{from}\", from_country=\"{from_country}\", \
         to_country=\"{to_country}\", from_asn=\"{from_asn}\", to_asn=\"{to_asn}\", \
         service=\"{service}\"}}"
    )
}

const GOOGLE: &str = "AS15169 GOOGLE";
const EXAMPLE: &str = "AS64496 Example";

/// Two hours of two devices, with a sample every 5 minutes: 300 bytes more are a byte, or 8 bits, a
/// second. The flow to `DE` begins after 100 minutes. The database was built 5,176,800 s before 1970.
fn two_hours() -> Vec<(String, &'static str)> {
    let [laptop, phone] = ["192.168.88.50", "192.168.88.51"];
    let other = ["other"; 2];
    let traffic = "tzsp_traffic_bytes_total{from_type=\"private\", to_type=\"public\"}";
    let built = "tzsp_geo_database_build_timestamp_seconds{file=\"a.mmdb\"}";
    vec![
        (flow(laptop, ["", "US"], ["", GOOGLE], "https"), "0+300x24"),
        (flow(phone, ["", "US"], ["", EXAMPLE], "domain"), "0+600x24"),
        (
            flow(laptop, ["", "DE"], ["", EXAMPLE], "https"),
            "_x20 0+300x4",
        ),
        (
            flow("8.8.8.8", ["US", ""], [GOOGLE, ""], "https"),
            "0+3000x24",
        ),
        (flow(laptop, ["", ""], ["", ""], ""), "0+9000x24"),
        (flow("other", other, other, "other"), "0+150x24"),
        (traffic.to_owned(), "0+2400x24"),
        (built.to_owned(), "-5176800x24"),
    ]
}

/// In the order of the page.
const EXPECTED: [&[(&str, f64)]; 8] = [
    &[
        ("to_country=\"US\"", 24.0),
        ("to_country=\"DE\"", 8.0),
        ("to_country=\"other\"", 4.0),
    ],
    &[
        ("from_country=\"US\"", 80.0),
        ("from_country=\"other\"", 4.0),
    ],
    // Sent to it: 7200, and received from it: 72,000.
    &[
        ("asn=\"AS15169 GOOGLE\"", 79_200.0),
        // 14,400 and 1200.
        ("asn=\"AS64496 Example\"", 15_600.0),
        ("asn=\"other\"", 3600.0),
    ],
    &[
        ("service=\"https\"", 96.0),
        ("service=\"domain\"", 16.0),
        ("service=\"other\"", 4.0),
    ],
    &[
        ("from=\"192.168.88.51\"", 14_400.0),
        ("from=\"192.168.88.50\"", 7200.0),
    ],
    &[("to_country=\"DE\"", 1.0)],
    // 4 of 8 bytes a second have a country.
    &[("", 0.5)],
    // At 2 hours, the database is 5,184,000 s old.
    &[("file=\"a.mmdb\"", 60.0)],
];

#[test]
fn queries_of_countries_operators_and_services_return_what_was_sent() {
    let queries = blocks_of(&page("docs/geo.md"), "promql");
    assert_eq!(queries.len(), EXPECTED.len());
    for (query, expected) in queries.iter().zip(EXPECTED) {
        check_metrics(query);
        // There is a sample every 5 minutes, for two hours.
        let query = query.replace("[5m]", "[10m]").replace("[1d]", "[2h]");
        check_query_at("2h", "5m", &query, &two_hours(), expected);
    }
}
