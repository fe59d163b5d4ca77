//! Templates with what Prometheus makes of them.

use super::*;

fn expand_with(text: &str, value: f64) -> String {
    let labels = Labels::from_pairs([
        ("__name__", "up"),
        ("instance", "db-1.example.org:9100"),
        ("job", "node"),
    ]);
    let external_labels = Labels::from_pairs([("cluster", "eu")]);
    let data = Data {
        labels: &labels,
        external_labels: &external_labels,
        external_url: "http://binnacle.example.org:9090/base",
        value,
    };
    expand_or_explain(text, &data)
}

fn check(text: &str, value: f64, expected: &str) {
    assert_eq!(expand_with(text, value), expected, "{text} {value}");
}

#[test]
fn values_and_labels() {
    check("plain { text }", 1.0, "plain { text }");
    check("{{ $value }} {{.Value}}", 0.5, "0.5 0.5");
    check(
        "{{ $labels.job }}/{{ .Labels.instance }}",
        0.0,
        "node/db-1.example.org:9100",
    );
    check("[{{ $labels.missing }}]", 0.0, "[]");
    check(
        "{{ $externalLabels.cluster }} {{ $externalURL }}",
        0.0,
        "eu http://binnacle.example.org:9090/base",
    );
    check(
        "{{ externalURL }} {{ pathPrefix }}",
        0.0,
        "http://binnacle.example.org:9090/base /base",
    );
    check("{{ index $labels \"job\" }} {{ len $labels }}", 0.0, "node 3");
    check("a {{- /* said to nobody */ -}} b", 0.0, "ab");
    check("a {{- 1 -}}  b {{ 2 }} c", 0.0, "a1b 2 c");
    check(
        "{{ $labels }}",
        0.0,
        "map[__name__:up instance:db-1.example.org:9100 job:node]",
    );
    check("{{ \"a\\\"}}\\n\" }}{{ `b}}\\n` }}", 0.0, "a\"}}\nb}}\\n");
}

#[test]
fn numbers_print_as_go_prints_them() {
    for (value, text) in [
        (0.0, "0"),
        (1.0, "1"),
        (0.1 + 0.2, "0.30000000000000004"),
        (123_456.0, "123456"),
        (1e6, "1e+06"),
        (1_234_567.0, "1.234567e+06"),
        (9_223_372_036_854_775_807.0, "9.223372036854776e+18"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (-2.5, "-2.5"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
    ] {
        check("{{ $value }}", value, text);
    }
    assert_eq!(go_float_e(0.0), "0e+00");
    assert_eq!(go_float_e(1.0), "1e+00");
    assert_eq!(go_float_e(-123.5), "-1.235e+02");
    assert_eq!(go_float_e(f64::INFINITY), "+Inf");
}

#[test]
fn humanize_family() {
    // The cases of Prometheus' documentation and tests.
    for (value, plain, binary) in [
        (0.0, "0", "0"),
        (1.0, "1", "1"),
        (1_234_567.0, "1.235M", "1.177Mi"),
        (0.12, "120m", "0.12"),
        (-1500.0, "-1.5k", "-1.465ki"),
        (1_048_576.0, "1.049M", "1Mi"),
        (f64::NAN, "NaN", "NaN"),
        (f64::INFINITY, "+Inf", "+Inf"),
    ] {
        check("{{ humanize $value }}", value, plain);
        check("{{ $value | humanize1024 }}", value, binary);
    }
    for (value, text) in [
        (0.0, "0s"),
        (1.0, "1s"),
        (60.0, "1m 0s"),
        (3600.0, "1h 0m 0s"),
        (86_400.0, "1d 0h 0m 0s"),
        (86_400.0 + 3600.0, "1d 1h 0m 0s"),
        (
            -(86_400.0 * 2.0 + 3600.0 * 3.0 + 60.0 * 4.0 + 5.0),
            "-2d 3h 4m 5s",
        ),
        (899.99, "14m 59s"),
        (12.3456, "12.35s"),
        (0.1, "100ms"),
        (0.0001, "100us"),
    ] {
        check("{{ $value | humanizeDuration }}", value, text);
    }
    check("{{ $value | humanizePercentage }}", 0.1235, "12.35%");
    check("{{ humanizePercentage 1 }}", 0.0, "100%");
    check(
        "{{ $value | humanizeTimestamp }}",
        1_435_065_584.128,
        "2015-06-23 13:19:44.128 +0000 UTC",
    );
    check("{{ \"1.5\" | humanize }}", 0.0, "1.5");
}

#[test]
fn printf_is_gos() {
    check("{{ printf \"%.2f\" $value }}", 2.0 / 3.0, "0.67");
    check(
        "{{ $value | printf \"%.1f%% of %s\" }}",
        1.0,
        "1.0% of %!s(MISSING)",
    );
    check(
        "{{ printf \"%5.1f|%-6s|%06.2f|%+d\" $value \"ab\" $value 7 }}",
        2.25,
        "  2.2|ab    |002.25|+7",
    );
    check("{{ printf \"%d\" $value }}", 3.0, "%!d(float64=3)");
    check(
        "{{ printf \"%v %g %e %q %x %t\" 1 2.5 3.5 \"a\" 255 true }}",
        0.0,
        "1 2.5 3.500000e+00 \"a\" ff true",
    );
    check("{{ printf \"%.3g\" $value }}", 1234.5, "1.23e+03");
    check("{{ printf \"x\" 1 }}", 0.0, "x%!(EXTRA int=1)");
    check("{{ print 1 2 \"a\" \"b\" 3 }}", 0.0, "1 2ab3");
}

#[test]
fn strings() {
    check(
        "{{ $labels.job | toUpper }} {{ \"ABC\" | toLower }} {{ title \"foo bar-baz\" }}",
        0.0,
        "NODE abc Foo Bar-Baz",
    );
    check(
        "{{ stripPort $labels.instance }} {{ stripDomain $labels.instance }}",
        0.0,
        "db-1.example.org db-1:9100",
    );
    check(
        "{{ stripDomain \"10.0.0.1:80\" }} {{ stripPort \"[::1]:80\" }}",
        0.0,
        "10.0.0.1:80 ::1",
    );
    check(
        "{{ reReplaceAll \"db-([0-9]+).*\" \"$1\" $labels.instance }}",
        0.0,
        "1",
    );
    check("{{ if match \"^no\" $labels.job }}y{{ end }}", 0.0, "y");
    check(
        "{{ graphLink \"up == 0\" }}",
        0.0,
        "/graph?g0.expr=up+%3D%3D+0&g0.tab=0",
    );
    check("{{ parseDuration \"1h\" }}", 0.0, "3600");
}

#[test]
fn blocks() {
    let text = "{{ if gt $value 10.0 }}high{{ else if gt $value 5 }}middle{{ else }}low{{ end }}";
    check(text, 20.0, "high");
    check(text, 7.0, "middle");
    check(text, 1.0, "low");
    check(
        "{{ range $k, $v := $labels }}{{ $k }}={{ $v }};{{ end }}",
        0.0,
        "__name__=up;instance=db-1.example.org:9100;job=node;",
    );
    check(
        "{{ range $labels }}[{{ . }}]{{ end }}",
        0.0,
        "[up][db-1.example.org:9100][node]",
    );
    check(
        "{{ with $labels.missing }}a{{ else }}b{{ end }}{{ with $labels.job }}{{ . }}{{ end }}",
        0.0,
        "bnode",
    );
    check(
        "{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}",
        0.0,
        "2",
    );
    check(
        "{{ if and (eq $labels.job \"node\") (not (eq 1 2)) }}y{{ end }}",
        0.0,
        "y",
    );
    check("{{ if or false (ne $labels.job \"x\" ) }}y{{ end }}", 0.0, "y");
    check("{{ (printf \"%s\" $labels.job) | len }}", 0.0, "4");
}

#[test]
fn errors_show_in_the_text_and_kill_nothing() {
    let check = |text: &str, message: &str| {
        check(text, 1.0, &format!("<error expanding template: {message}>"));
    };
    check("{{ $labels.x", "an action is not closed with }}");
    check("{{ nope }}", "the function \"nope\" is not defined");
    check(
        "{{ query \"up\" | first | value }}",
        "the function \"query\" is not supported",
    );
    check("{{ $x }}", "undefined variable \"$x\"");
    check("{{ if true }}a", "a block has no {{end}}");
    check("{{ end }}", "an {{end}} without a block");
    check("{{ . | }}", "a command is missing");
    check("{{ 1 2 }}", "only functions take arguments");
    check("{{ .Foo }}", "can't evaluate field Foo in a value of type struct");
    check(
        "{{ $value.x }}",
        "can't evaluate field x in a value of type float64",
    );
    check("{{ humanize \"abc\" }}", "\"abc\" is not a number");
    check("{{ toUpper 1 }}", "toUpper does not take (int)");
    check("{{ if lt 1 \"a\" }}{{ end }}", "cannot compare int with string");
    check("{{ template \"x\" }}", "{{template}} is not supported");
    check(
        "{{ printf \"%9999d\" 1 }}",
        "a width or precision is more than 1000",
    );
    check("{{ range $value }}{{ end }}", "range can't iterate over 1");
    check("{{ 1 ~ 2 }}", "unexpected '~' in an action");
    check("{{ \"a }}", "an action is not closed with }}");
}

#[test]
fn a_template_cannot_run_away() {
    let nested = "{{ range $labels }}".repeat(40) + &"{{ end }}".repeat(40);
    assert!(expand_with(&nested, 0.0).contains("steps"));
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(1000), ")".repeat(1000));
    assert!(expand_with(&deep, 0.0).contains("nest deeper"));
    let long = "{{ printf \"%1000d\" 1 }}".repeat(200);
    assert!(expand_with(&long, 0.0).contains("bytes"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[ -~]{0,20}(\\{\\{[ -~é]{0,40}\\}\\}){0,3}[ -~]{0,10}", value in proptest::num::f64::ANY) {
        expand_with(&text, value);
    }
    #[test]
    fn no_likely_text_makes_it_panic(
        words in proptest::collection::vec(proptest::sample::select(vec![
            "{{", "}}", "{{-", "-}}", " ", ".", "$value", "$labels", ".x", "(", ")", "|", ":=", "=", "$x", "if", "else",
            "end", "range", "with", "printf", "\"%d\"", "\"%é.3f\"", "1", "-2.5", "humanize", "and", "or", "eq", ",", "title", "/*", "*/",
        ]), 0..30),
    ) {
        expand_with(&words.concat(), 1.0);
    }
}
