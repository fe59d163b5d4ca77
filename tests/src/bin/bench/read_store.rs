//! `bench record --from`: takes scrapes out of a store that answers PromQL, as they were put in.

use crate::api;
use crate::clock::unix_ms;
use crate::http::escaped;
use crate::measure::say;
use crate::recording::{Head, append};
use crate::started;
use anyhow::{Context as _, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// Seconds of samples that one question asks for.
const WINDOW_S: i64 = 600;

/// Leaves out what rules have made: alerts, and names with a colon.
const SCRAPED: &str = r#"alertname="",__name__!~".*:.*""#;

/// The samples of one time, in text form.
type Scrapes = BTreeMap<i64, BTreeMap<String, String>>;

/// Writes the last `length` of every job and instance of the store at `url`. All samples of one of them that have the
/// same time are one scrape; staleness markers do not show in answers and come again from what is gone.
pub(crate) fn run(url: &str, length: Duration, folder: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let client = ::tests::binnacle::client();
    let ask = |query: &str, time_s: i64| -> Result<Vec<u8>> {
        started::check()?;
        let address = format!("{url}/api/v1/query?query={}&time={time_s}", escaped(query));
        runtime.block_on(async {
            let answer = client.get(&address).send().await?;
            let (status, body) = (answer.status(), answer.bytes().await?);
            ensure!(
                status.is_success(),
                "{query}: {status}: {}",
                String::from_utf8_lossy(&body)
            );
            Ok(body.to_vec())
        })
    };
    let end_s = unix_ms() / 1000;
    let length_s = i64::try_from(length.as_secs())?;
    let everything =
        format!("count by (job, instance) (last_over_time({{job!=\"\",instance!=\"\"}}[{length_s}s]))");
    let body = ask(&everything, end_s)?;
    for target in api::series(&body).context("the store's jobs and instances")? {
        let label = |name: &str| target.metric.get(name).cloned().unwrap_or_default();
        let (job, instance) = (label("job"), label("instance"));
        let (mut kept, mut from_s) = (0, end_s - length_s);
        while from_s < end_s {
            let to_s = (from_s + WINDOW_S).min(end_s);
            let query = format!(
                "{{job={job:?},instance={instance:?},{SCRAPED}}}[{}s]",
                to_s - from_s
            );
            let scrapes = scrapes(&ask(&query, to_s)?)?;
            // The window's start belongs to the window before; some stores give it to both.
            for (time_ms, lines) in scrapes.range(from_s * 1000 + 1..) {
                write(folder, &job, &instance, *time_ms, lines)?;
                kept += 1;
            }
            from_s = to_s;
        }
        say(&format!("{job} {instance}: {kept} scrapes"));
    }
    Ok(())
}

fn scrapes(body: &[u8]) -> Result<Scrapes> {
    let mut scrapes = Scrapes::new();
    for series in api::series(body)? {
        let text = text(&series.metric);
        for (time_ms, value) in series.texts() {
            scrapes
                .entry(time_ms)
                .or_default()
                .insert(text.clone(), value.to_owned());
        }
    }
    Ok(scrapes)
}

fn write(
    folder: &Path,
    job: &str,
    instance: &str,
    time_ms: i64,
    lines: &BTreeMap<String, String>,
) -> Result<()> {
    let mut text = String::new();
    for (series, value) in lines {
        let _ = writeln!(text, "{series} {value}");
    }
    let labels =
        BTreeMap::from([("job", job), ("instance", instance)].map(|(k, v)| (k.to_owned(), v.to_owned())));
    let head = Head {
        time_ms,
        labels,
        bytes: text.len(),
    };
    append(folder, &format!("{job}-{instance}"), &head, text.as_bytes())
}

/// A series in text form, without the target's own labels.
fn text(labels: &api::Labels) -> String {
    let own = BTreeSet::from(["__name__", "job", "instance"]);
    let mut out = labels.get("__name__").cloned().unwrap_or_default();
    let others = labels.iter().filter(|(k, _)| !own.contains(k.as_str()));
    for (i, (name, value)) in others.enumerate() {
        let value = value
            .replace('\\', r"\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        let _ = write!(out, "{}{name}=\"{value}\"", if i == 0 { '{' } else { ',' });
    }
    if out.contains('{') {
        out.push('}');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{scrapes, text};
    use crate::exposition;

    #[test]
    fn samples_of_one_time_are_a_scrape() {
        let body = br#"{"data":{"result":[
            {"metric":{"__name__":"a","job":"j","instance":"i"},"values":[[1.5,"1"],[16.5,"2.50"]]},
            {"metric":{"__name__":"b","x":"y"},"values":[[16.5,"+Inf"]]}]}}"#;
        let found = scrapes(body).unwrap();
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [1500, 16_500]);
        let last: Vec<_> = found[&16_500].iter().map(|(k, v)| format!("{k} {v}")).collect();
        assert_eq!(last, ["a 2.50", "b{x=\"y\"} +Inf"]);
    }

    #[test]
    fn labels_survive_the_text() {
        let labels =
            [("__name__", "a"), ("b", "q\"\\\n}"), ("c", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let read = exposition::labels(&text(&labels.clone().into())).unwrap();
        assert_eq!(read, labels);
    }
}
