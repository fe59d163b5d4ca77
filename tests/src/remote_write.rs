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

/// The body of a request, compressed.
pub fn body(series: &[Series<'_>]) -> Result<Vec<u8>> {
    let mut request = Vec::new();
    for (labels, samples) in series {
        let mut one = Vec::new();
        let mut sorted = labels.clone();
        sorted.sort();
        for (name, value) in &sorted {
            let mut label = Vec::new();
            bytes_field(&mut label, 1, name.as_bytes());
            bytes_field(&mut label, 2, value.as_bytes());
            bytes_field(&mut one, 1, &label);
        }
        for (timestamp_ms, value) in samples {
            let mut sample = vec![1 << 3 | 1];
            sample.extend_from_slice(&value.to_le_bytes());
            sample.push(2 << 3);
            varint(&mut sample, timestamp_ms.cast_unsigned());
            bytes_field(&mut one, 2, &sample);
        }
        bytes_field(&mut request, 1, &one);
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
