//! Encodes families that the prometheus crate has gathered. They have only counters and gauges.

use std::io::{self, Write};

use prometheus::proto::{Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

use super::Format;
use super::dialect::without_total;

/// Writes the families in this format.
pub(super) fn write(
    out: &mut impl Write,
    format: Format,
    families: &[MetricFamily],
) -> io::Result<()> {
    // Encoded into memory first: the text encoder would wrap an error of `out` in its own type.
    let mut encoded = Vec::new();
    match format {
        Format::Text => TextEncoder::new()
            .encode(families, &mut encoded)
            .map_err(io::Error::other)?,
        Format::OpenMetrics => write_openmetrics(&mut encoded, families)?,
    }
    out.write_all(&encoded)
}

/// The prometheus crate does not support OpenMetrics. It differs in the names of counter families,
/// which lack the `_total` of their samples.
fn write_openmetrics(out: &mut impl Write, families: &[MetricFamily]) -> io::Result<()> {
    for family in families {
        let sample_name = family.name();
        let (name, kind) = match family.get_field_type() {
            MetricType::COUNTER => (without_total(sample_name), "counter"),
            _ => (sample_name, "gauge"),
        };
        writeln!(out, "# HELP {name} {}", escaped(family.help()))?;
        writeln!(out, "# TYPE {name} {kind}")?;
        for metric in family.get_metric() {
            out.write_all(sample_name.as_bytes())?;
            let mut before = '{';
            for label in metric.get_label() {
                let value = escaped(label.value());
                write!(out, "{before}{}=\"{value}\"", label.name())?;
                before = ',';
            }
            let after = if before == ',' { "}" } else { "" };
            writeln!(out, "{after} {}", value(family, metric))?;
        }
    }
    Ok(())
}

fn value(family: &MetricFamily, metric: &Metric) -> f64 {
    match family.get_field_type() {
        MetricType::COUNTER => metric.get_counter().get_value(),
        _ => metric.get_gauge().get_value(),
    }
}

/// Escapes a label value or a help text.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    text.replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
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

    #[track_caller]
    fn check(format: Format, label: &str, expected: &str) {
        let mut encoded = Vec::new();
        write(&mut encoded, format, &families(label)).expect("memory takes it");
        assert_eq!(String::from_utf8(encoded).expect("text"), expected);
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
