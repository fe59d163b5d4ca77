//! Metrics of our own: the registry behind [`model::Meter`], the process's metrics, the HTTP middleware.

pub mod observe;
mod process;

use model::{Counter, Gauge, Meter, MetricDef, MetricKind};
use prometheus::core::{Collector, Desc};
use prometheus::proto;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The content type of [`Registry::gather_text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

static BUILD_INFO: MetricDef = MetricDef {
    name: "binnacle_build_info",
    help: "Always 1; the labels say which program runs and its version.",
    kind: MetricKind::Gauge,
    labels: &["program", "version"],
};

/// All metrics of one program. Clones share them.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    prometheus: prometheus::Registry,
    families: Arc<Families>,
    requests: observe::Requests,
}

impl Registry {
    /// A registry that already holds the process's metrics, the build information and the HTTP histogram.
    pub fn new(program: &str, version: &str) -> Self {
        let prometheus = prometheus::Registry::new();
        let families = Arc::new(Families::default());
        let requests = observe::Requests::new();
        let own = Own {
            families: families.clone(),
            process: process::Process::new(),
        };
        let collectors: [Box<dyn Collector>; 2] = [Box::new(own), Box::new(requests.histogram())];
        for collector in collectors {
            prometheus
                .register(collector)
                .expect("the names of the built-in collectors differ");
        }
        let registry = Self(Arc::new(Inner {
            prometheus,
            families,
            requests,
        }));
        registry.gauge(&BUILD_INFO, &[program, version]).set(1);
        registry
    }
    /// All metrics in the text exposition format, sorted by name.
    pub fn gather_text(&self) -> String {
        let mut text = String::new();
        prometheus::TextEncoder::new()
            .encode_utf8(&self.0.prometheus.gather(), &mut text)
            .expect("writing to a string cannot fail");
        text
    }
    /// Adds a collector of another kind, for instance a histogram of the `prometheus` crate.
    pub fn register(&self, collector: Box<dyn Collector>) -> model::Result<()> {
        self.0
            .prometheus
            .register(collector)
            .map_err(|e| model::Error::internal(format!("cannot register a metric: {e}")))
    }
    /// The definitions that have been used so far, sorted by name.
    pub fn definitions(&self) -> Vec<&'static MetricDef> {
        self.0.families.lock().values().map(|f| f.def).collect()
    }
    /// What [`observe::layer`] records into.
    pub(crate) fn requests(&self) -> &observe::Requests {
        &self.0.requests
    }
}

impl Meter for Registry {
    fn counter(&self, def: &'static MetricDef, values: &[&str]) -> Counter {
        assert_eq!(def.kind, MetricKind::Counter, "{} is not a counter", def.name);
        self.0.families.child(def, values).counter
    }
    fn gauge(&self, def: &'static MetricDef, values: &[&str]) -> Gauge {
        assert_eq!(def.kind, MetricKind::Gauge, "{} is not a gauge", def.name);
        self.0.families.child(def, values).gauge
    }
}

/// One series; which of the two counts is said by the family's kind.
#[derive(Clone, Default)]
struct Child {
    counter: Counter,
    gauge: Gauge,
}

struct Family {
    def: &'static MetricDef,
    children: BTreeMap<Vec<String>, Child>,
}

#[derive(Default)]
struct Families(Mutex<BTreeMap<&'static str, Family>>);

impl Families {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Family>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn child(&self, def: &'static MetricDef, values: &[&str]) -> Child {
        assert_eq!(
            def.labels.len(),
            values.len(),
            "{} has the labels {:?}",
            def.name,
            def.labels
        );
        let mut families = self.lock();
        let family = families.entry(def.name).or_insert_with(|| Family {
            def,
            children: BTreeMap::new(),
        });
        assert_eq!(family.def, def, "two definitions share the name {}", def.name);
        let key = values.iter().map(|v| (*v).to_owned()).collect();
        family.children.entry(key).or_default().clone()
    }
}

impl Family {
    fn gather(&self) -> proto::MetricFamily {
        let metrics = self.children.iter().map(|(values, child)| {
            let pairs = self.def.labels.iter().zip(values);
            let mut metric = proto::Metric::from_label(pairs.map(|(n, v)| label(n, v)).collect());
            let value = match self.def.kind {
                MetricKind::Counter => child.counter.get() as f64,
                MetricKind::Gauge => child.gauge.get() as f64,
            };
            set_value(&mut metric, self.def.kind, value);
            metric
        });
        family(self.def.name, self.def.help, self.def.kind, metrics.collect())
    }
}

fn label(name: &str, value: &str) -> proto::LabelPair {
    let mut pair = proto::LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

fn set_value(metric: &mut proto::Metric, kind: MetricKind, value: f64) {
    match kind {
        MetricKind::Counter => {
            let mut counter = proto::Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        }
        MetricKind::Gauge => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
    }
}

fn family(name: &str, help: &str, kind: MetricKind, metrics: Vec<proto::Metric>) -> proto::MetricFamily {
    let mut family = proto::MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(match kind {
        MetricKind::Counter => proto::MetricType::COUNTER,
        MetricKind::Gauge => proto::MetricType::GAUGE,
    });
    family.set_metric(metrics);
    family
}

/// Our families and the process's as one collector. It names no descriptions beforehand, since families come with
/// their first use; the `prometheus` crate takes only one such collector.
struct Own {
    families: Arc<Families>,
    process: process::Process,
}

impl Collector for Own {
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }
    fn collect(&self) -> Vec<proto::MetricFamily> {
        let mut families: Vec<_> = self.families.lock().values().map(Family::gather).collect();
        families.extend(self.process.gather());
        families
    }
}

#[cfg(test)]
mod tests;
