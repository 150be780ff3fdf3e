//! Encodes families that the prometheus crate has gathered. They have only counters and gauges.

use std::io::{self, Write};

use prometheus::proto::{Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

use super::catalog::Kind;
use super::dialect::without_total;
use super::format::Format;
use super::protobuf;
use super::wall_clock::UnixMillis;

/// Families, and the starts of their counters.
pub(super) struct Gathered<F> {
    pub(super) families: Vec<MetricFamily>,
    /// Returns when a counter was 0, if this is to be written.
    pub(super) start: F,
}

impl<F: Fn(&MetricFamily, &Metric) -> Option<UnixMillis>> Gathered<F> {
    /// Writes the families in this format.
    pub(super) fn write(&self, out: &mut impl Write, format: Format) -> io::Result<()> {
        // Encoded into memory first: the text encoder would wrap an error of `out` in its own type.
        let mut encoded = Vec::new();
        match format {
            Format::Text => TextEncoder::new()
                .encode(&self.families, &mut encoded)
                .map_err(io::Error::other)?,
            Format::OpenMetrics => self.write_openmetrics(&mut encoded)?,
            Format::Protobuf => self.push_messages(&mut encoded),
        }
        out.write_all(&encoded)
    }

    /// The prometheus crate does not support OpenMetrics. It differs in the names of counter
    /// families, which lack the `_total` of their samples.
    fn write_openmetrics(&self, out: &mut impl Write) -> io::Result<()> {
        for family in &self.families {
            let sample_name = family.name();
            let (name, kind) = match kind(family) {
                Kind::Counter => (without_total(sample_name), Kind::Counter.name()),
                Kind::Gauge => (sample_name, Kind::Gauge.name()),
            };
            writeln!(out, "# HELP {name} {}", escaped(family.help()))?;
            writeln!(out, "# TYPE {name} {kind}")?;
            for metric in family.get_metric() {
                let labels = labels(metric);
                writeln!(out, "{sample_name}{labels} {}", value(family, metric))?;
                if let Some(start) = (self.start)(family, metric) {
                    writeln!(out, "{name}_created{labels} {start}")?;
                }
            }
        }
        Ok(())
    }

    /// The messages of the prometheus crate have no starts.
    fn push_messages(&self, out: &mut Vec<u8>) {
        for family in &self.families {
            let kind = kind(family);
            let mut message = Vec::new();
            protobuf::push_family(&mut message, family.name(), family.help(), kind);
            for metric in family.get_metric() {
                let mut fields = Vec::new();
                for label in metric.get_label() {
                    protobuf::push_label(&mut fields, label.name(), label.value());
                }
                let start = (self.start)(family, metric);
                let value = value(family, metric);
                fields.extend(protobuf::value_header(kind, start.is_some()));
                fields.extend(value.to_le_bytes());
                fields.extend(start.into_iter().flat_map(protobuf::start));
                protobuf::push_field(&mut message, protobuf::key::FAMILY_METRIC, &fields);
            }
            protobuf::push_varint(out, message.len() as u64);
            out.extend_from_slice(&message);
        }
    }
}

fn kind(family: &MetricFamily) -> Kind {
    match family.get_field_type() {
        MetricType::COUNTER => Kind::Counter,
        _ => Kind::Gauge,
    }
}

/// Returns the labels of a metric in braces, if it has any.
fn labels(metric: &Metric) -> String {
    let labels = metric.get_label().iter();
    let labels = labels.map(|label| format!("{}=\"{}\"", label.name(), escaped(label.value())));
    let labels: Vec<_> = labels.collect();
    if labels.is_empty() {
        return String::new();
    }
    format!("{{{}}}", labels.join(","))
}

fn value(family: &MetricFamily, metric: &Metric) -> f64 {
    match kind(family) {
        Kind::Counter => metric.get_counter().get_value(),
        Kind::Gauge => metric.get_gauge().get_value(),
    }
}

/// Escapes a label value or a help text.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    text.replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::{GaugeVec, IntCounter, Opts, Registry};

    use super::*;

    /// One counter, and one gauge with a label of this value.
    fn families(label: &str) -> Vec<MetricFamily> {
        let registry = Registry::new();
        let counter = IntCounter::new("frames_total", "All \"frames\".").expect("a valid name");
        counter.inc_by(7);
        let gauge = GaugeVec::new(Opts::new("up", "Whether."), &["a"]).expect("a valid name");
        gauge.with_label_values(&[label]).set(0.5);
        registry.register(Box::new(counter)).expect("it is new");
        registry.register(Box::new(gauge)).expect("it is new");
        registry.gather()
    }

    fn encoded(format: Format, label: &str, start: Option<UnixMillis>) -> Vec<u8> {
        let gathered = Gathered {
            families: families(label),
            start: |family: &MetricFamily, _: &Metric| start.filter(|_| family.name() != "up"),
        };
        let mut encoded = Vec::new();
        gathered
            .write(&mut encoded, format)
            .expect("memory takes it");
        encoded
    }

    #[track_caller]
    fn check(format: Format, label: &str, expected: &str) {
        let encoded = encoded(format, label, None);
        assert_eq!(String::from_utf8(encoded).expect("text"), expected);
    }

    #[test]
    fn starts_are_written_in_openmetrics_and_protobuf() {
        let start = Some(UnixMillis::of(Duration::from_millis(7)));
        let text = encoded(Format::OpenMetrics, "a", start);
        assert_eq!(
            String::from_utf8(text).expect("text"),
            "# HELP frames All \\\"frames\\\".\n# TYPE frames counter\nframes_total 7\n\
             frames_created 0.007\n\
             # HELP up Whether.\n# TYPE up gauge\nup{a=\"a\"} 0.5\n",
        );
        let counter = [
            &b"\x3a\x0a\x0cframes_total\x12\x0dAll \"frames\"."[..],
            // The type, and a counter of 7.0 since 7,000,000 nanoseconds.
            b"\x18\0\x22\x19\x1a\x17\x09\0\0\0\0\0\0\x1c\x40",
            b"\x1a\x0c\x08\x80\x80\x80\x80\0\x10\xc0\x9f\xab\x83\0",
        ];
        let gauge = [
            &b"\x25\x0a\x02up\x12\x08Whether."[..],
            // The type, a label, and a gauge of 0.5.
            b"\x18\x01\x22\x13\x0a\x06\x0a\x01a\x12\x01a",
            b"\x12\x09\x09\0\0\0\0\0\0\xe0\x3f",
        ];
        let expected = [counter.concat(), gauge.concat()].concat();
        assert_eq!(encoded(Format::Protobuf, "a", start), expected);
    }

    /// The escapes: <https://prometheus.io/docs/specs/om/open_metrics_spec/#escaping>.
    #[test]
    fn label_values_and_help_texts_are_escaped() {
        check(
            Format::OpenMetrics,
            "a\\b\"c\nd",
            "# HELP frames All \\\"frames\\\".\n# TYPE frames counter\nframes_total 7\n\
             # HELP up Whether.\n# TYPE up gauge\nup{a=\"a\\\\b\\\"c\\nd\"} 0.5\n",
        );
        check(
            Format::Text,
            "a\\b\"c\nd",
            "# HELP frames_total All \"frames\".\n# TYPE frames_total counter\nframes_total 7\n\
             # HELP up Whether.\n# TYPE up gauge\nup{a=\"a\\\\b\\\"c\\nd\"} 0.5\n",
        );
    }
}
