//! `bench record`: scrapes targets for a while and keeps what they say.

use crate::clock::{pause, unix_ms};
use crate::measure::say;
use crate::read_store;
use crate::recording::{Head, append};
use crate::started;
use anyhow::{Context as _, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What to record.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Record {
    /// Folder that the files go to; made when it is missing, appended to when it is not.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Address of an exposition in text form, with its job before it if it is not `node`: `cadvisor=http://HOST/metrics`.
    #[arg(long, required_unless_present = "from", num_args = 1.., value_name = "[JOB=]URL")]
    target: Vec<Target>,
    /// Address of a store that answers PromQL and has scraped already: what it holds is written at once.
    #[arg(long, conflicts_with = "target", value_name = "URL")]
    from: Option<String>,
    /// From one scrape of a target to its next.
    #[arg(long, default_value = "15s", value_parser = duration)]
    interval: Duration,
    /// How long to record, or how far back to read; Ctrl-C ends earlier, and what is there stays usable.
    #[arg(long = "for", default_value = "2h", value_parser = duration)]
    length: Duration,
}

/// One target.
#[derive(Debug, Clone, PartialEq)]
struct Target {
    job: String,
    instance: String,
    url: String,
}

impl std::str::FromStr for Target {
    type Err = anyhow::Error;
    fn from_str(text: &str) -> Result<Self> {
        let (job, url) = match text.find("://").zip(text.find('=')) {
            Some((scheme, equals)) if equals < scheme => (&text[..equals], &text[equals + 1..]),
            _ => ("node", text),
        };
        let (_, after) = url
            .split_once("://")
            .with_context(|| format!("{url}: not an address like http://HOST/metrics"))?;
        let instance = after.split('/').next().unwrap_or_default().to_owned();
        Ok(Self {
            job: job.to_owned(),
            instance,
            url: url.to_owned(),
        })
    }
}

/// A number with its unit: `15s`, `500ms`, `90m`, `2h`.
fn duration(text: &str) -> Result<Duration> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number
        .parse()
        .with_context(|| format!("{text}: not a duration like 15s"))?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => bail!("{text}: not a duration like 15s"),
    };
    let duration = Duration::from_millis(number.saturating_mul(unit_ms));
    ensure!(!duration.is_zero(), "{text}: no time at all");
    Ok(duration)
}

/// Scrapes until the time is over. A scrape that fails is said and left out.
pub(crate) fn run(record: &Record) -> Result<()> {
    std::fs::create_dir_all(&record.out)?;
    if let Some(store) = &record.from {
        return read_store::run(store.trim_end_matches('/'), record.length, &record.out);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let client = ::tests::binnacle::client();
    let interval_ms = i64::try_from(record.interval.as_millis())?;
    let end_ms = unix_ms() + i64::try_from(record.length.as_millis())?;
    let mut next: Vec<(i64, &Target)> = Vec::new();
    for (i, target) in record.target.iter().enumerate() {
        // Spread over the interval, as any scraper does.
        next.push((
            unix_ms() + interval_ms * i as i64 / record.target.len() as i64,
            target,
        ));
    }
    let mut kept = 0;
    while let Some(at) = next.iter_mut().min_by_key(|n| n.0).filter(|n| n.0 < end_ms) {
        while unix_ms() < at.0 {
            started::check()?;
            pause(Duration::from_millis(
                (at.0 - unix_ms()).clamp(0, 100).cast_unsigned(),
            ));
        }
        match runtime.block_on(scrape(&client, at.1, record.interval, &record.out)) {
            Ok(()) => kept += 1,
            Err(e) => say(&format!("{}: {e:#}", at.1.url)),
        }
        // From when it was due, so that the phase stays; what was missed meanwhile is left out.
        while at.0 <= unix_ms() {
            at.0 += interval_ms;
        }
    }
    ensure!(kept > 0, "no scrape succeeded");
    say(&format!("{kept} scrapes in {}", record.out.display()));
    Ok(())
}

async fn scrape(client: &reqwest::Client, target: &Target, within: Duration, folder: &Path) -> Result<()> {
    let time_ms = unix_ms();
    let request = client.get(&target.url).timeout(within).send();
    let answer = request.await?.error_for_status()?;
    let text = answer.bytes().await?;
    let labels = [("job", &target.job), ("instance", &target.instance)];
    let labels = labels
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.clone()))
        .collect();
    let head = Head {
        time_ms,
        labels,
        bytes: text.len(),
    };
    append(
        folder,
        &format!("{}-{}", target.job, target.instance),
        &head,
        &text,
    )
}

#[cfg(test)]
mod tests {
    use super::{Target, duration};
    use std::time::Duration;

    #[test]
    fn targets_and_durations_are_read() {
        let check = |text: &str, job: &str, instance: &str| {
            let target: Target = text.parse().unwrap();
            assert_eq!(
                (target.job.as_str(), target.instance.as_str()),
                (job, instance),
                "{text}"
            );
        };
        check("http://127.0.0.1:9100/metrics", "node", "127.0.0.1:9100");
        check("http://host/metrics?a=b", "node", "host");
        check("cadvisor=http://host:1/metrics", "cadvisor", "host:1");
        assert!("host/metrics".parse::<Target>().is_err());
        assert_eq!(duration("2h").unwrap(), Duration::from_secs(7200));
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        for text in ["", "15", "s", "0s", "1d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
