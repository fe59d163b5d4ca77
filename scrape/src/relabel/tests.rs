//! What each action does, and which rules are refused.

use super::*;
use model::Labels;

fn rules(yaml: &str) -> Result<Vec<Relabel>> {
    runtime::config::parse(yaml, "rules.yml").map_err(Error::from)
}

/// Applies rules to `name=value` pairs; `None` when they drop it.
fn run(yaml: &str, pairs: &str) -> Option<String> {
    let split = |pair: &str| pair.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()));
    let pairs: Vec<_> = pairs.split(' ').filter_map(split).collect();
    let mut builder = Labels::from_pairs(pairs).to_builder();
    let kept = apply(&rules(yaml).unwrap(), &mut builder);
    let labels = builder.build();
    let shown: Vec<String> = labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
    kept.then(|| shown.join(" "))
}

#[test]
fn each_action() {
    let check = |yaml: &str, before: &str, after: &str| {
        assert_eq!(run(yaml, before).as_deref(), Some(after), "{yaml}");
    };
    let dropped = |yaml: &str, before: &str| assert_eq!(run(yaml, before), None, "{yaml}");
    let abc = "a=foo b=bar c=baz";

    // replace
    check(
        "[{source_labels: [a], regex: f(.*), target_label: d, replacement: 'ch${1}-ch${1}'}]",
        abc,
        "a=foo b=bar c=baz d=choo-choo",
    );
    check(
        "[{source_labels: [a, b], target_label: d}]",
        abc,
        "a=foo b=bar c=baz d=foo;bar",
    );
    check(
        "[{source_labels: [a, b], separator: '-', target_label: a, action: Replace}]",
        abc,
        "a=foo-bar b=bar c=baz",
    );
    check(
        "[{source_labels: [a], regex: 'fo', target_label: d, replacement: x}]",
        abc,
        abc,
    );
    check(
        "[{source_labels: [a], regex: '.*(oo).*', target_label: d, replacement: '$1$$1${2}x'}]",
        abc,
        "a=foo b=bar c=baz d=oo$1x",
    );
    check(
        "[{source_labels: [a], regex: '(f)(?P<rest>.*)', target_label: d, replacement: '${rest}$1'}]",
        abc,
        "a=foo b=bar c=baz d=oof",
    );
    check("[{target_label: d, replacement: static}]", "a=1", "a=1 d=static");
    check(
        "[{source_labels: [a], regex: foo, target_label: b, replacement: ''}]",
        abc,
        "a=foo c=baz",
    );
    check(
        "[{source_labels: [missing], target_label: b}]",
        abc,
        "a=foo c=baz",
    );
    check(
        "[{source_labels: [a], regex: '(f).*', target_label: '${1}_x', replacement: y}]",
        abc,
        "a=foo b=bar c=baz f_x=y",
    );
    check(
        "[{source_labels: [a], regex: 'f(x?)oo', target_label: '${1}', replacement: y}]",
        abc,
        abc,
    );
    // rules see what the rules before them did
    check(
        "[{source_labels: [a], target_label: z}, {source_labels: [z], regex: foo, target_label: y, replacement: hit}]",
        abc,
        "a=foo b=bar c=baz y=hit z=foo",
    );
    // keep and drop, anchored
    check("[{source_labels: [a], regex: 'f.*', action: keep}]", abc, abc);
    dropped("[{source_labels: [a], regex: 'o+', action: keep}]", abc);
    dropped("[{source_labels: [a], regex: '.*o.*', action: drop}]", abc);
    check("[{source_labels: [a], regex: 'f', action: drop}]", abc, abc);
    check("[{source_labels: [a], regex: 'f|oo', action: drop}]", abc, abc);
    dropped("[{source_labels: [missing], regex: '', action: drop}]", abc);
    dropped("[{source_labels: [missing], regex: '.+', action: keep}]", abc);
    // keepequal and dropequal
    check(
        "[{source_labels: [a], target_label: b, action: keepequal}]",
        "a=x b=x",
        "a=x b=x",
    );
    dropped("[{source_labels: [a], target_label: b, action: keepequal}]", abc);
    dropped(
        "[{source_labels: [a], target_label: b, action: dropequal}]",
        "a=x b=x",
    );
    check(
        "[{source_labels: [a], target_label: b, action: dropequal}]",
        abc,
        abc,
    );
    dropped("[{source_labels: [x], target_label: y, action: dropequal}]", abc);
    // labelmap, labeldrop, labelkeep
    check(
        "[{regex: 'meta_(.*)', action: labelmap}]",
        "meta_pod=p meta_ns=n a=1",
        "a=1 meta_ns=n meta_pod=p ns=n pod=p",
    );
    check(
        "[{regex: 'meta_(.*)', replacement: 'k_${1}', action: labelmap}]",
        "meta_pod=p",
        "k_pod=p meta_pod=p",
    );
    check("[{regex: '(a|b)', action: labeldrop}]", "a=1 b=2 ab=3", "ab=3");
    check("[{regex: '(a|b)', action: labelkeep}]", "a=1 b=2 ab=3", "a=1 b=2");
    // lowercase, uppercase
    check(
        "[{source_labels: [a], target_label: a, action: lowercase}]",
        "a=FoO",
        "a=foo",
    );
    check(
        "[{source_labels: [a], target_label: b, action: uppercase}]",
        "a=FoO",
        "a=FoO b=FOO",
    );
}

#[test]
fn dots_match_line_breaks() {
    let mut labels = Labels::from_pairs([("a", "x\ny")]).to_builder();
    assert!(apply(
        &rules("[{source_labels: [a], regex: 'x.y', action: keep}]").unwrap(),
        &mut labels
    ));
}

#[test]
fn hashmod_counts_as_prometheus_does() {
    // The last eight bytes of the MD5 digest, big-endian: values of Prometheus' own tests.
    let check = |value: &str, modulus: u64, expected: &str| {
        let yaml = format!("[{{source_labels: [c], target_label: d, action: hashmod, modulus: {modulus}}}]");
        let after = run(&yaml, &format!("c={value}")).unwrap();
        assert_eq!(after, format!("c={value} d={expected}"));
    };
    check("baz", 1000, "976");
    // md5("") ends in e9800998ecf8427e.
    let yaml = "[{source_labels: [none], target_label: d, action: hashmod, modulus: 18446744073709551615}]";
    assert_eq!(
        run(yaml, "c=1").unwrap(),
        format!("c=1 d={}", 0xe980_0998_ecf8_427e_u64)
    );
}

#[test]
fn bad_rules_are_refused() {
    let check = |yaml: &str, message: &str| {
        let error = rules(yaml).unwrap_err();
        assert!(error.message().contains(message), "{error} instead of {message}");
    };
    check("[{regex: x}]", "relabel action replace requires target_label");
    check(
        "[{action: hashmod, target_label: x}]",
        "hashmod requires a modulus that is not zero",
    );
    check(
        "[{action: hashmod, modulus: 8}]",
        "relabel action hashmod requires target_label",
    );
    check("[{action: explode}]", "unknown relabel action \"explode\"");
    check(
        "[{action: labeldrop, regex: x, source_labels: [a]}]",
        "relabel action labeldrop does not take source_labels",
    );
    check(
        "[{action: keepequal, target_label: x, regex: x}]",
        "relabel action keepequal does not take regex",
    );
    check(
        "[{action: lowercase, target_label: x, replacement: y}]",
        "relabel action lowercase does not take replacement",
    );
    check(
        "[{action: keep, regex: '('}]",
        "the regular expression \"(\" cannot be read: unclosed group",
    );
    check("[{action: keep, regexp: x}]", "unknown field `regexp`");
    let place = rules("- {action: drop, regex: a}\n- action: keep\n  regex: '('\n").unwrap_err();
    assert!(place.message().starts_with("rules.yml:2:"), "{place}");
}

proptest::proptest! {
    #[test]
    fn keep_and_drop_are_opposites(value in "[a-c]{0,4}", regex in "[a-c.*]{0,3}") {
        let rule = |action: &str| rules(&format!("[{{source_labels: [v], regex: 'x?{regex}', action: {action}}}]"));
        if let (Ok(keep), Ok(drop)) = (rule("keep"), rule("drop")) {
            let mut labels = Labels::from_pairs([("v", value.as_str())]).to_builder();
            proptest::prop_assert_ne!(apply(&keep, &mut labels.clone()), apply(&drop, &mut labels));
        }
    }
}
