//! Chooses the format of `/metrics` by the `Accept` header, as in RFC 9110, section 12.5.1, and
//! <https://prometheus.io/docs/instrumenting/content_negotiation/>.

use hyper::header::{ACCEPT, HeaderMap, HeaderValue};

use crate::metrics::Format;

/// A media type of `/metrics`.
struct Offer {
    media_type: (&'static str, &'static str),
    parameters: &'static [(&'static str, &'static str)],
    /// Whether the content type says how names are escaped.
    names_escaping: bool,
    format: Format,
}

/// All media types of `/metrics`. If a media range matches several, the first one counts.
const OFFERS: [Offer; 5] = [
    Offer {
        media_type: ("text", "plain"),
        parameters: &[("version", "0.0.4"), ("charset", "utf-8")],
        names_escaping: false,
        format: Format::Text,
    },
    Offer {
        media_type: ("text", "plain"),
        parameters: &[("version", "1.0.0"), ("charset", "utf-8")],
        names_escaping: true,
        format: Format::Text,
    },
    Offer {
        media_type: ("application", "openmetrics-text"),
        parameters: &[("version", "1.0.0"), ("charset", "utf-8")],
        names_escaping: true,
        format: Format::OpenMetrics,
    },
    Offer {
        media_type: ("application", "openmetrics-text"),
        parameters: &[("version", "0.0.1"), ("charset", "utf-8")],
        names_escaping: false,
        format: Format::OpenMetrics,
    },
    Offer {
        media_type: ("application", "vnd.google.protobuf"),
        parameters: &[
            ("proto", "io.prometheus.client.MetricFamily"),
            ("encoding", "delimited"),
        ],
        names_escaping: false,
        format: Format::Protobuf,
    },
];

/// The ways to escape names that leave all names of this program as they are.
///
/// The one that is missing, `dots`, would double each underscore.
const HARMLESS_ESCAPING: [&str; 3] = [UNDERSCORES, "allow-utf-8", "values"];
/// Replaces all characters that Prometheus 2 does not allow in names.
const UNDERSCORES: &str = "underscores";

/// A media range of an `Accept` header.
#[derive(Debug, Clone)]
struct MediaRange<'a> {
    media_type: (&'a str, &'a str),
    /// All parameters but `q` and `escaping`.
    parameters: Vec<(&'a str, &'a str)>,
    quality: f32,
    escaping: Option<&'a str>,
}

/// Returns the format that a client prefers, and its content type. A client that accepts none gets
/// the text format 0.0.4: every client of Prometheus metrics reads it, and people can, too.
pub(super) fn negotiate(headers: &HeaderMap) -> (Format, HeaderValue) {
    let values = headers.get_all(ACCEPT).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let ranges = values.flat_map(|value| split(value, ','));
    let ranges = ranges.filter_map(MediaRange::parse);
    let acceptable = ranges.filter_map(|range| {
        let offer = OFFERS.iter().find(|offer| range.matches(offer))?;
        (range.quality > 0.0).then_some((range, offer))
    });
    // Among equals, the first one.
    let preferred = acceptable.min_by(|(left, _), (right, _)| {
        let by_quality = right.quality.total_cmp(&left.quality);
        by_quality.then(right.specificity().cmp(&left.specificity()))
    });
    let (offer, escaping) = match &preferred {
        Some((range, offer)) => (*offer, range.escaping),
        None => (&OFFERS[0], None),
    };
    (offer.format, offer.content_type(escaping))
}

impl Offer {
    fn content_type(&self, escaping: Option<&str>) -> HeaderValue {
        let (kind, subtype) = self.media_type;
        let mut content_type = format!("{kind}/{subtype}");
        let escaping = HARMLESS_ESCAPING
            .into_iter()
            .find(|harmless| Some(*harmless) == escaping)
            .unwrap_or(UNDERSCORES);
        let escaping = self.names_escaping.then_some(("escaping", escaping));
        for (name, value) in self.parameters.iter().copied().chain(escaping) {
            content_type.extend(["; ", name, "=", value]);
        }
        HeaderValue::try_from(content_type).expect("the parts are constants of visible ASCII")
    }
}

impl<'a> MediaRange<'a> {
    /// Parses a range such as `text/plain;version=0.0.4;q=0.5`. Returns `None` for anything else.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = split(text, ';').map(str::trim);
        let mut range = Self {
            media_type: parts.next()?.split_once('/')?,
            parameters: Vec::new(),
            quality: 1.0,
            escaping: None,
        };
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=')?;
            let value = value.trim_matches('"');
            if name.eq_ignore_ascii_case("q") {
                let quality = value.parse().ok();
                range.quality = quality.filter(|quality| (0.0..=1.0).contains(quality))?;
            } else if name.eq_ignore_ascii_case("escaping") {
                range.escaping = Some(value);
            } else {
                range.parameters.push((name, value));
            }
        }
        Some(range)
    }

    /// Whether the range covers a media type: it names no other type and no parameter that the
    /// media type does not have.
    fn matches(&self, offer: &Offer) -> bool {
        let is = |pattern: &str, name: &str| pattern == "*" || pattern.eq_ignore_ascii_case(name);
        let (kind, subtype) = self.media_type;
        let (offered_kind, offered_subtype) = offer.media_type;
        let mut parameters = self.parameters.iter();
        is(kind, offered_kind)
            && is(subtype, offered_subtype)
            && parameters.all(|(name, value)| {
                offer.parameters.iter().any(|(offered_name, offered)| {
                    name.eq_ignore_ascii_case(offered_name) && value.eq_ignore_ascii_case(offered)
                })
            })
    }

    /// Returns how precisely the range names a type: `*/*` less than `text/*`, and that less than
    /// `text/plain`.
    fn specificity(&self) -> usize {
        let (kind, subtype) = self.media_type;
        [kind, subtype].iter().filter(|name| **name != "*").count()
    }
}

/// Splits at a separator, except between quotation marks.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    text.split(move |character| {
        if character == '"' && !is_escaped {
            is_quoted = !is_quoted;
        }
        is_escaped = is_quoted && character == '\\' && !is_escaped;
        character == separator && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT_0: &str = "text/plain; version=0.0.4; charset=utf-8";
    const TEXT_1: &str = "text/plain; version=1.0.0; charset=utf-8; escaping=underscores";
    const OPENMETRICS_0: &str = "application/openmetrics-text; version=0.0.1; charset=utf-8";
    const OPENMETRICS_1: &str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores";
    const OPENMETRICS_1_UTF_8: &str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8";

    const PROTOBUF: &str = "application/vnd.google.protobuf; \
                            proto=io.prometheus.client.MetricFamily; encoding=delimited";

    #[track_caller]
    fn check(accept: &str, expected: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().expect("a header value"));
        let (format, content_type) = negotiate(&headers);
        assert_eq!(content_type, expected, "{accept}");
        let expected = match expected.split(';').next() {
            Some("text/plain") => Format::Text,
            Some("application/openmetrics-text") => Format::OpenMetrics,
            _ => Format::Protobuf,
        };
        assert_eq!(format, expected, "{accept}");
    }

    /// Those of 2.42 and 3.5 are what these releases sent to a socket. The code is in
    /// scrape/scrape.go of Prometheus: `scrapeAcceptHeader`, and `acceptHeader` since 2.49.
    #[test]
    fn prometheus_gets_openmetrics() {
        // 2.42.
        check(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
             q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            OPENMETRICS_1,
        );
        // 2.33.
        check(
            "application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            OPENMETRICS_0,
        );
        // 2.49.
        check(
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;\
             version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            OPENMETRICS_1,
        );
        // 3.5. Grafana Alloy and the OpenTelemetry Collector scrape with the same code.
        check(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;\
             escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            OPENMETRICS_1_UTF_8,
        );
        // 3.5 with `metric_name_validation_scheme: legacy` and `scrape_protocols:
        // [PrometheusText1.0.0]`.
        check(
            "text/plain;version=1.0.0;escaping=underscores;q=0.6,*/*;q=0.5",
            TEXT_1,
        );
    }

    /// What the same releases sent with `--enable-feature=native-histograms` or, since 2.50,
    /// `created-timestamp-zero-ingestion`.
    #[test]
    fn prometheus_gets_protobuf_if_a_feature_needs_it() {
        // 2.42.
        check(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,\
             application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,\
             */*;q=0.1",
            PROTOBUF,
        );
        // 3.5.
        check(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;\
             escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,\
             */*;q=0.1",
            PROTOBUF,
        );
    }

    #[test]
    fn other_clients_get_what_they_ask_for() {
        // VictoriaMetrics (lib/promscrape/client.go), Netdata, and Prometheus 2.3.
        check("text/plain;version=0.0.4;q=1,*/*;q=0.1", TEXT_0);
        // Metricbeat (metricbeat/helper/prometheus).
        check("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", TEXT_0);
        // Telegraf (plugins/inputs/prometheus/prometheus.go).
        check(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3",
            PROTOBUF,
        );
        // curl and wget.
        check("*/*", TEXT_0);
        // Firefox, Safari and Chromium.
        for browser in [
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,\
             image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
        ] {
            check(browser, TEXT_0);
        }
    }

    #[test]
    fn without_a_known_type_it_is_text() {
        assert_eq!(negotiate(&HeaderMap::new()).1, TEXT_0);
        for unknown in [
            "",
            ",",
            "image/png",
            "application/json;schema=\"prometheus/telemetry\";version=0.0.2",
            "application/openmetrics-text;version=2.0.0",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=compact-text",
            "application/vnd.google.protobuf;proto=io.prometheus.write.v2.Request",
            "text/plain;version=0.0.3",
            "text/plain;version=1.0.0;q=0",
            "text/plain;version=1.0.0;q=2",
            "text/plain;version=1.0.0;q=nan",
            "text/plain;version=1.0.0;q",
            "openmetrics-text",
        ] {
            check(unknown, TEXT_0);
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_bytes(b"\xff").expect("a value"));
        assert_eq!(negotiate(&headers).1, TEXT_0);
    }

    #[test]
    fn the_highest_quality_decides_then_the_more_specific_range_then_the_first() {
        check("application/openmetrics-text;q=0.1,text/*;q=0.2", TEXT_0);
        check("text/plain;q=0.1,application/*;q=0.2", OPENMETRICS_1);
        check("*/*,application/openmetrics-text", OPENMETRICS_1);
        check("text/*,text/plain;version=1.0.0", TEXT_1);
        check("text/plain,application/openmetrics-text", TEXT_0);
        check("application/openmetrics-text,text/plain", OPENMETRICS_1);
    }

    #[test]
    fn case_space_and_quotation_marks_do_not_matter() {
        check(
            "Application/OpenMetrics-Text ; Version=\"0.0.1\" ; Charset=UTF-8 ; Q=0.5 , */*;q=0.1",
            OPENMETRICS_0,
        );
        check("text/html;x=\"\\\",application/openmetrics-text,\"", TEXT_0);
    }

    #[test]
    fn several_headers_are_one_list() {
        let mut headers = HeaderMap::new();
        for value in ["text/plain;q=0.5", "application/openmetrics-text"] {
            headers.append(ACCEPT, HeaderValue::from_static(value));
        }
        assert_eq!(negotiate(&headers).1, OPENMETRICS_1);
    }

    #[test]
    fn only_an_escaping_that_changes_no_name_is_confirmed() {
        for (asked, answered) in [
            ("underscores", "underscores"),
            ("allow-utf-8", "allow-utf-8"),
            ("values", "values"),
            ("dots", "underscores"),
            ("x\\r\\nSet-Cookie:a", "underscores"),
        ] {
            check(
                &format!("text/plain;version=1.0.0;escaping={asked}"),
                &format!("text/plain; version=1.0.0; charset=utf-8; escaping={answered}"),
            );
        }
        check("text/plain;version=0.0.4;escaping=allow-utf-8", TEXT_0);
    }
}
