//! A sender of remote write 1.0 that shares no code with the project: protobuf written by hand, snappy, HTTP.

use anyhow::Result;

/// One series: label pairs, and samples as milliseconds and values.
pub type Series<'a> = (Vec<(&'a str, String)>, Vec<(i64, f64)>);

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n as u8 & 0x7f) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn bytes_field(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn double_field(out: &mut Vec<u8>, field: u64, value: f64) {
    varint(out, field << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn int_field(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn labels_field(out: &mut Vec<u8>, labels: &[(&str, String)]) {
    let mut sorted = labels.to_vec();
    sorted.sort();
    for (name, value) in &sorted {
        let mut label = Vec::new();
        bytes_field(&mut label, 1, name.as_bytes());
        bytes_field(&mut label, 2, value.as_bytes());
        bytes_field(out, 1, &label);
    }
}

/// A native histogram of whole numbers.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The schema.
    pub schema: i64,
    /// The width of the bucket around zero.
    pub zero_threshold: f64,
    /// Observations in it.
    pub zero_count: u64,
    /// The index of the first bucket below zero, and the counts from there on.
    pub negative: (i64, Vec<i64>),
    /// The same above zero.
    pub positive: (i64, Vec<i64>),
}

impl Histogram {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        int_field(&mut out, 1, self.count);
        double_field(&mut out, 3, self.sum);
        int_field(&mut out, 4, zigzag(self.schema));
        double_field(&mut out, 5, self.zero_threshold);
        int_field(&mut out, 6, self.zero_count);
        for (field, (offset, counts)) in [(8, &self.negative), (11, &self.positive)] {
            if counts.is_empty() {
                continue;
            }
            let (mut span, mut deltas) = (Vec::new(), Vec::new());
            int_field(&mut span, 1, zigzag(*offset));
            int_field(&mut span, 2, counts.len() as u64);
            bytes_field(&mut out, field, &span);
            let before = std::iter::once(&0).chain(counts);
            for (count, before) in counts.iter().zip(before) {
                varint(&mut deltas, zigzag(count - before));
            }
            bytes_field(&mut out, field + 1, &deltas);
        }
        int_field(&mut out, 15, self.timestamp_ms.cast_unsigned());
        out
    }
}

/// An exemplar: label pairs, a value, and milliseconds.
pub type Exemplar<'a> = (Vec<(&'a str, String)>, f64, i64);

/// One series with all that a request can say of it.
#[derive(Debug, Clone, Default)]
pub struct FullSeries<'a> {
    /// Label pairs.
    pub labels: Vec<(&'a str, String)>,
    /// Milliseconds and values.
    pub samples: Vec<(i64, f64)>,
    /// Native histograms.
    pub histograms: Vec<Histogram>,
    /// Exemplars.
    pub exemplars: Vec<Exemplar<'a>>,
}

impl FullSeries<'_> {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        labels_field(&mut out, &self.labels);
        for (timestamp_ms, value) in &self.samples {
            let mut sample = Vec::new();
            double_field(&mut sample, 1, *value);
            int_field(&mut sample, 2, timestamp_ms.cast_unsigned());
            bytes_field(&mut out, 2, &sample);
        }
        for (labels, value, timestamp_ms) in &self.exemplars {
            let mut exemplar = Vec::new();
            labels_field(&mut exemplar, labels);
            double_field(&mut exemplar, 2, *value);
            int_field(&mut exemplar, 3, timestamp_ms.cast_unsigned());
            bytes_field(&mut out, 3, &exemplar);
        }
        for histogram in &self.histograms {
            bytes_field(&mut out, 4, &histogram.encode());
        }
        out
    }
}

/// What is said of a family: its name, the number of its type, help and unit.
pub type Metadata<'a> = (&'a str, u64, &'a str, &'a str);

/// The body of a request, compressed.
pub fn body(series: &[Series<'_>]) -> Result<Vec<u8>> {
    let full: Vec<FullSeries<'_>> = series
        .iter()
        .map(|(labels, samples)| FullSeries {
            labels: labels.clone(),
            samples: samples.clone(),
            ..FullSeries::default()
        })
        .collect();
    full_body(&full, &[])
}

/// The body of a request of all kinds of points, compressed.
pub fn full_body(series: &[FullSeries<'_>], metadata: &[Metadata<'_>]) -> Result<Vec<u8>> {
    let mut request = Vec::new();
    for one in series {
        bytes_field(&mut request, 1, &one.encode());
    }
    for (family, metric_type, help, unit) in metadata {
        let mut one = Vec::new();
        int_field(&mut one, 1, *metric_type);
        bytes_field(&mut one, 2, family.as_bytes());
        bytes_field(&mut one, 4, help.as_bytes());
        bytes_field(&mut one, 5, unit.as_bytes());
        bytes_field(&mut request, 3, &one);
    }
    Ok(snap::raw::Encoder::new().compress_vec(&request)?)
}

/// Sends a body; the status and the text of the answer.
pub async fn send(client: &reqwest::Client, base: &str, body: Vec<u8>) -> Result<(u16, String)> {
    let request = client
        .post(format!("{base}/api/v1/write"))
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy")
        .header("x-prometheus-remote-write-version", "0.1.0")
        .body(body);
    let response = request.send().await?;
    Ok((response.status().as_u16(), response.text().await?))
}
