//! `binnacle check`: reads configuration and rule files as `run` would, and says what is wrong.

use crate::cli::CheckArgs;
use crate::config::Config;
use std::path::Path;

/// Checks every file; the number of files that are wrong.
#[expect(clippy::print_stdout, reason = "this command's answer goes to the shell")]
pub fn run(args: &CheckArgs) -> usize {
    let mut wrong = 0;
    for file in &args.files {
        match check(file) {
            Ok(lines) => lines.iter().for_each(|l| println!("{l}")),
            Err(lines) => {
                wrong += 1;
                lines.iter().for_each(|l| println!("{l}"));
            }
        }
    }
    wrong
}

/// What is in a file, or what is wrong with it.
fn check(file: &Path) -> Result<Vec<String>, Vec<String>> {
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|e| vec![format!("{name}: cannot be read: {e}")])?;
    if is_rule_file(&text) {
        return check_rules(file, &text).map_err(|e| vec![e]);
    }
    let config = Config::read(file)
        .and_then(|c| c.check_file(file).map(|()| c))
        .map_err(|e| vec![e.to_string()])?;
    let files = config
        .alert()
        .load_rules(Path::new("."))
        .map_err(|e| vec![e.to_string()])?;
    Ok(vec![format!(
        "{name}: configuration is right: {} scrape configs, {} rule files, {} receivers",
        config.scrape_configs.len(),
        files.len() - usize::from(config.default_rules),
        config.receivers.len()
    )])
}

fn is_rule_file(text: &str) -> bool {
    text.lines().any(|l| l.starts_with("groups:"))
}

/// What is in a rule file, and which of its expressions other tools may not read.
fn check_rules(file: &Path, text: &str) -> Result<Vec<String>, String> {
    let rules = alert::rules::load(text, &file.display().to_string()).map_err(|e| e.to_string())?;
    let count: usize = rules.groups.iter().map(|g| g.rules.len()).sum();
    let mut lines = vec![format!(
        "{}: rules are right: {} groups, {count} rules",
        file.display(),
        rules.groups.len()
    )];
    for rule in rules.groups.iter().flat_map(|g| &g.rules) {
        if let Some(why) = query::promql::second_opinion(&rule.expr) {
            lines.push(format!(
                "{}: {}: right, but tools that are built on promql-parser do not read it: {}",
                file.display(),
                rule.name,
                why.lines().next().unwrap_or_default()
            ));
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, text: &str) -> (bool, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        match check(&file) {
            Ok(lines) => (true, lines.join("\n")),
            Err(lines) => (false, lines.join("\n")),
        }
    }

    #[test]
    fn files_are_told_apart_and_checked() {
        let rules = "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up == 0\n";
        let (right, says) = checked("r.yml", rules);
        assert!(right && says.contains("1 groups, 1 rules"), "{says}");
        let (right, says) = checked("r.yml", &rules.replace("up ==", "up === "));
        assert!(!right && says.contains("r.yml:5"), "{says}");
        let (right, says) = checked("r.yml", &rules.replace("up ==", "(up smoothed) =="));
        assert!(right && says.contains("r.yml: A: right, but tools"), "{says}");
        let (right, says) = checked("b.yml", "listen: 127.0.0.1:1\n");
        assert!(right, "{says}");
        let (right, says) = checked("b.yml", "rule_files: [missing.yml]\n");
        assert!(!right && says.contains("missing.yml"), "{says}");
    }
}
