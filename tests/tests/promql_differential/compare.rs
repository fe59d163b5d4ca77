//! Whether two answers are the same.

use serde_json::Value;
use std::collections::BTreeMap;

/// What a server says.
pub(crate) enum Answer {
    /// The type and the value of its result.
    Value(String, Value),
    /// The kind and the text of an error.
    Error(String),
}

impl Answer {
    /// Asks a server.
    pub(crate) async fn ask(
        client: &reqwest::Client,
        base: &str,
        path: &str,
        parameters: &[(&str, String)],
    ) -> Self {
        let request = client.get(format!("{base}/api/v1/{path}")).query(parameters);
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        let json: Value =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{base} {status}: {e}: {text}"));
        match json["status"].as_str() {
            Some("success") => Self::Value(
                json["data"]["resultType"].as_str().unwrap().to_owned(),
                json["data"]["result"].clone(),
            ),
            _ => Self::Error(format!("{}: {}", json["errorType"], json["error"])),
        }
    }
}

/// Nearly the same number, or both none.
fn is_near(a: f64, b: f64) -> bool {
    // Differences of nearly equal numbers keep only the noise of their last digits.
    const NOISE: f64 = 1e-9;
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()) + NOISE * 1e-3
}

/// Times and values.
type Points = Vec<(f64, f64)>;

fn point(value: &Value) -> (f64, f64) {
    let number = value[1].as_str().unwrap();
    (value[0].as_f64().unwrap(), number.parse().unwrap())
}

fn points(series: &Value) -> Points {
    match series["values"].as_array() {
        Some(values) => values.iter().map(point).collect(),
        None => vec![point(&series["value"])],
    }
}

/// Checks that both say the same.
pub(crate) fn same(ours: &Answer, theirs: &Answer, is_ordered: bool) -> Result<(), String> {
    let (ours, theirs) = match (ours, theirs) {
        (Answer::Error(_), Answer::Error(_)) => return Ok(()),
        (Answer::Error(ours), Answer::Value(_, theirs)) => {
            return Err(format!("ours is an error: {ours}\n  theirs: {}", short(theirs)));
        }
        (Answer::Value(_, ours), Answer::Error(theirs)) => {
            return Err(format!("theirs is an error: {theirs}\n  ours: {}", short(ours)));
        }
        (Answer::Value(our_type, _), Answer::Value(their_type, _)) if our_type != their_type => {
            return Err(format!("a {our_type} instead of a {their_type}"));
        }
        (Answer::Value(kind, ours), Answer::Value(_, theirs)) => match kind.as_str() {
            "scalar" => {
                let (a, b) = (point(ours), point(theirs));
                let is_same = a.0 == b.0 && is_near(a.1, b.1);
                return if is_same {
                    Ok(())
                } else {
                    Err(format!("{a:?} instead of {b:?}"))
                };
            }
            "string" => {
                return if ours == theirs {
                    Ok(())
                } else {
                    Err(format!("{ours} instead of {theirs}"))
                };
            }
            _ => (ours.as_array().unwrap(), theirs.as_array().unwrap()),
        },
    };
    if is_ordered {
        let values = |all: &[Value]| -> Vec<f64> { all.iter().flat_map(points).map(|p| p.1).collect() };
        let (a, b) = (values(ours), values(theirs));
        if a.len() != b.len() || a.iter().zip(&b).any(|(x, y)| !is_near(*x, *y)) {
            return Err(format!("the order {a:?} instead of {b:?}"));
        }
    }
    let by_labels = |all: &[Value]| -> BTreeMap<String, Points> {
        all.iter().map(|s| (s["metric"].to_string(), points(s))).collect()
    };
    let (a, b) = (by_labels(ours), by_labels(theirs));
    if a.len() != ours.len() {
        return Err("the same labels twice".to_owned());
    }
    if let Some((labels, points)) = b.iter().find(|(l, _)| !a.contains_key(*l)) {
        return Err(format!(
            "{labels} is missing of {}, which has {:?}",
            b.len(),
            &points[..points.len().min(3)]
        ));
    }
    for (labels, points) in &a {
        let Some(expected) = b.get(labels) else {
            return Err(format!(
                "unexpected {labels} {:?}",
                &points[..points.len().min(3)]
            ));
        };
        same_points(points, expected).map_err(|e| format!("{labels}: {e}"))?;
    }
    Ok(())
}

fn same_points(ours: &Points, theirs: &Points) -> Result<(), String> {
    let times = |points: &Points| -> Vec<f64> { points.iter().map(|p| p.0).collect() };
    if times(ours) != times(theirs) {
        let only = |a: &Points, b: &Points| -> Points {
            let not_there = |p: &&(f64, f64)| b.iter().all(|q| q.0 != p.0);
            a.iter().filter(not_there).copied().take(3).collect()
        };
        return Err(format!(
            "only ours: {:?}, only theirs: {:?}",
            only(ours, theirs),
            only(theirs, ours)
        ));
    }
    match ours.iter().zip(theirs).find(|(x, y)| !is_near(x.1, y.1)) {
        Some((x, y)) => Err(format!("{x:?} instead of {y:?}")),
        None => Ok(()),
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(300).collect()
}
