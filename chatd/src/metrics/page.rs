//! How families of metrics are written, in either form that a scraper may ask for.
//!
//! Invariant: both forms have the same samples under the same names.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelValue, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;

use crate::counters::histogram::Snapshot;

/// Form of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The text format 0.0.4, which every scraper reads.
    Plain,
    /// OpenMetrics 1.0, for those who ask for it.
    OpenMetrics,
}

impl Form {
    /// The form for whoever accepts this.
    #[must_use]
    pub fn accepted<'a>(accept: impl IntoIterator<Item = &'a str>) -> Self {
        let mut ranges = accept.into_iter().flat_map(|value| value.split(','));
        let asks = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let is_named =
                parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"));
            is_named && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        };
        if ranges.any(asks) { Form::OpenMetrics } else { Form::Plain }
    }

    /// Media type of the text.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Form::Plain => "text/plain; version=0.0.4; charset=utf-8",
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Labels of a sample.
type Labels<V, const N: usize> = [(&'static str, V); N];
/// None.
pub const NONE: Labels<&str, 0> = [];

/// What is being written.
pub struct Page<'a> {
    pub encoder: DescriptorEncoder<'a>,
    pub form: Form,
}

impl Page<'_> {
    pub fn counter(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeGaugeValue + EncodeCounterValue,
    ) -> fmt::Result {
        self.counters(name, help, [(NONE, value)])
    }

    /// In OpenMetrics the `_total` of a counter is no part of its family's name and is added to each sample. In the text
    /// format 0.0.4 it is; written like a gauge it comes out so.
    pub fn counters<V: EncodeLabelValue, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<V, N>, impl EncodeGaugeValue + EncodeCounterValue)>,
    ) -> fmt::Result {
        let form = self.form;
        let family = match form {
            Form::Plain => name,
            Form::OpenMetrics => name.trim_end_matches("_total"),
        };
        self.family(family, help, MetricType::Counter, values, |mut sample, value| match form {
            Form::Plain => sample.encode_gauge(&value),
            Form::OpenMetrics => sample.encode_counter::<NoLabelSet, _, u64>(&value, None),
        })
    }

    pub fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.gauges(name, help, [(NONE, value)])
    }

    pub fn gauges<V: EncodeLabelValue, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<V, N>, impl EncodeGaugeValue)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, values, |mut sample, value| sample.encode_gauge(&value))
    }

    pub fn histograms<V: EncodeLabelValue, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<V, N>, Snapshot)>,
    ) -> fmt::Result {
        self.family(
            name,
            help,
            MetricType::Histogram,
            values,
            |mut sample, Snapshot { sum_s, count, buckets }| {
                sample.encode_histogram::<NoLabelSet>(sum_s, count, &buckets, None)
            },
        )
    }

    fn family<V: EncodeLabelValue, const N: usize, S>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        values: impl IntoIterator<Item = (Labels<V, N>, S)>,
        write: impl Fn(MetricEncoder<'_>, S) -> fmt::Result,
    ) -> fmt::Result {
        let mut values = values.into_iter();
        if N == 0 {
            let encoder = self.encoder.encode_descriptor(name, help, None, kind)?;
            return values.next().map_or(Ok(()), |(_, value)| write(encoder, value));
        }
        let mut encoder = self.encoder.encode_descriptor(name, help, None, kind)?;
        values.try_for_each(|(labels, value)| write(encoder.encode_family(&labels)?, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        // What Prometheus 2.42 sends.
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, form) in [
            (prometheus, Form::OpenMetrics),
            ("text/plain, Application/OpenMetrics-Text ; q=0.2", Form::OpenMetrics),
            ("application/openmetrics-text; q=0, text/plain", Form::Plain),
            ("*/*", Form::Plain),
            ("application/openmetrics-texts", Form::Plain),
            ("", Form::Plain),
        ] {
            assert_eq!(Form::accepted([accept]), form, "{accept}");
        }
        assert_eq!(Form::accepted([]), Form::Plain);
        assert_eq!(Form::accepted(["text/plain", prometheus]), Form::OpenMetrics);
    }
}
