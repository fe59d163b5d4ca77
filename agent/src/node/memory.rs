//! `/proc/meminfo`: a family per line.

use crate::host::{Host, Reader};
use crate::series::{Family, Gatherer};
use model::Labels;
use std::collections::HashMap;

/// Lines that are made into families; the kernel has about sixty.
const MAX_FAMILIES: usize = 200;

/// The families made so far, by the line's key.
#[derive(Debug, Default)]
pub(super) struct Families {
    by_key: HashMap<String, &'static Family>,
}

impl Families {
    pub(super) fn collect(&mut self, host: &Host, reader: &mut Reader, g: &mut Gatherer, labels: &Labels) {
        for line in reader.read(&host.proc("meminfo")).unwrap_or_default().lines() {
            let Some((key, rest)) = line.split_once(':') else {
                continue;
            };
            let mut words = rest.split_ascii_whitespace();
            let Some(Ok(value)) = words.next().map(str::parse::<u64>) else {
                continue;
            };
            let in_kib = words.next() == Some("kB");
            let Some(family) = self.family(key, in_kib) else {
                continue;
            };
            let value = if in_kib { value.saturating_mul(1024) } else { value };
            g.emit(family, labels, &[], value as f64);
        }
    }

    fn family(&mut self, key: &str, in_kib: bool) -> Option<&'static Family> {
        if let Some(family) = self.by_key.get(key) {
            return Some(family);
        }
        if self.by_key.len() >= MAX_FAMILIES {
            return None;
        }
        // `Active(anon)` becomes `Active_anon`.
        let name = key.replace('(', "_").replace(')', "");
        let suffix = if in_kib { "_bytes" } else { "" };
        // Made once per line of the kernel's file for the life of the process, and bounded above.
        let family: &'static Family = Box::leak(Box::new(Family::gauge(
            Box::leak(format!("node_memory_{name}{suffix}").into_boxed_str()),
            Box::leak(format!("Memory information field {name}{suffix}.").into_boxed_str()),
        )));
        self.by_key.insert(key.to_owned(), family);
        Some(family)
    }
}
