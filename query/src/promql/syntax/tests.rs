//! Tests of the parser: tables of facts, round trips, limits, and promql-parser's second opinion.

mod random;
mod second_opinion;
mod shared;

use super::*;
use proptest::prelude::*;

fn error(text: &str) -> String {
    match parse(text) {
        Ok(expr) => panic!("{text:?} is read as {expr}"),
        Err(e) => e.message().to_owned(),
    }
}

fn with_line_breaks(line: &str) -> String {
    line.replace('⏎', "\n")
}

/// The lines of a table: no comments, no blank ones.
fn table(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|l| !l.starts_with("# ") && !l.is_empty())
}

/// The spans of a tree, parents first.
fn spans(expr: &Expr) -> Vec<String> {
    let mut all = vec![expr.span()];
    if let Node::Matrix(m) = expr.node() {
        all.push(m.selector_span);
    }
    let own = all.into_iter().map(|s| format!("{}-{}", s.start, s.end));
    own.chain(expr.children().into_iter().flat_map(spans)).collect()
}

/// What a tree is, its places left out.
fn shape(expr: &Expr) -> String {
    let (text, mut shape, mut rest) = (format!("{expr:?}"), String::new(), None);
    for part in text.split("Span {") {
        // A span has no braces in it.
        shape.push_str(match rest {
            None => part,
            Some(()) => part.split_once('}').map_or("", |(_, behind)| behind),
        });
        rest = Some(());
    }
    shape
}

#[test]
fn wrong_expressions_give_the_errors_of_prometheus() {
    let mut lines = table(include_str!("../../../testdata/promql_errors.txt"));
    while let (Some(expr), Some(expected)) = (lines.next(), lines.next()) {
        let expected = expected.strip_prefix("! ").expect("an error");
        assert_eq!(error(&with_line_breaks(expr)), expected, "{expr}");
    }
}

#[test]
fn trees_print_and_stand_as_in_prometheus() {
    let mut lines = table(include_str!("../../../testdata/promql_trees.txt")).peekable();
    while let Some(line) = lines.next() {
        let text = with_line_breaks(line);
        let printed = lines
            .next_if(|l| l.starts_with("= "))
            .map_or(text.clone(), |l| with_line_breaks(&l[2..]));
        let expected = lines.next().expect("the places").strip_prefix("@ ").expect("@");
        let expr = parse(&text).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert_eq!(expr.to_string(), printed, "{line}");
        assert_eq!(spans(&expr).join(" "), expected, "{line}");
    }
}

#[test]
fn long_expressions_are_broken_up_as_in_prometheus() {
    let text = include_str!("../../../testdata/promql_pretty.txt");
    let mut cases = text.split("\n> ");
    cases.next().expect("a comment");
    for case in cases {
        let (expr, expected) = case.split_once('\n').expect("an expression and its lines");
        let tree = parse(expr).unwrap_or_else(|e| panic!("{expr}: {e}"));
        assert_eq!(tree.pretty(), expected.trim_end_matches('\n'), "{expr}");
        let again = parse(&tree.pretty()).unwrap();
        assert_eq!(again.to_string(), tree.to_string(), "{expr}");
    }
}

#[test]
fn json_has_the_members_of_prometheus() {
    let mut lines = table(include_str!("../../../testdata/promql_json.txt"));
    while let (Some(expr), Some(expected)) = (lines.next(), lines.next()) {
        assert_eq!(parse(expr).unwrap().to_json(), expected, "{expr}");
    }
    assert!(
        parse("\"\\n\\x01é\\\"\\u2028\"")
            .unwrap()
            .to_json()
            .contains("\"\\n\\u0001é\\\"\\u2028\""),
        "texts are escaped"
    );
    assert!(parse("'a&b'").unwrap().to_json().contains("a\\u0026b"));
    let fill = |text: &str| parse(&format!("a + fill({text}) b")).unwrap().to_json();
    assert!(fill("1e-9").contains("\"lhs\":1e-9"), "{}", fill("1e-9"));
    assert!(fill("1e21").contains("\"lhs\":1e+21"), "{}", fill("1e21"));
    assert!(
        fill("1e20").contains("\"lhs\":100000000000000000000"),
        "{}",
        fill("1e20")
    );
    assert!(fill("Inf").contains("\"lhs\":null"), "{}", fill("Inf"));
}

/// The expression with parentheses around each operator.
fn grouped(expr: &Expr) -> String {
    match expr.node() {
        Node::Binary(b) => format!("({} {} {})", grouped(&b.left), b.op.as_str(), grouped(&b.right)),
        Node::Unary(op, e) => format!("({}{})", op.as_str(), grouped(e)),
        _ => expr.to_string(),
    }
}

#[test]
fn operators_bind_by_precedence() {
    let check = |text: &str, expected: &str| assert_eq!(grouped(&parse(text).unwrap()), expected, "{text}");
    check("a or b and c", "(a or (b and c))");
    check("a and b or c unless d", "((a and b) or (c unless d))");
    check("a unless b and c", "((a unless b) and c)");
    check("a and b == c", "(a and (b == c))");
    check("a > b + c", "(a > (b + c))");
    check("a </ b >/ c != d", "(((a </ b) >/ c) != d)");
    check("a + b * c - d", "((a + (b * c)) - d)");
    check("a * b / c % d atan2 e", "((((a * b) / c) % d) atan2 e)");
    check("a ^ b ^ c * d", "((a ^ (b ^ c)) * d)");
    check("-a ^ b * c", "((-(a ^ b)) * c)");
    check("a * -b + c", "((a * (-b)) + c)");
    check("a ^ -b ^ c", "(a ^ (-(b ^ c)))");
    check("-a offset 5m", "(-a offset 5m)");
    check("a + b offset 5m + c", "((a + b offset 5m) + c)");
    check("a offset -5m ^ 2", "(a offset -5m ^ 2)");
}

#[test]
fn numbers_are_read_as_in_go() {
    let check = |text: &str, expected: f64| {
        let expr = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let Node::Number(n) = expr.node() else {
            panic!("{text} is no number");
        };
        assert_eq!(n.value.to_bits(), expected.to_bits(), "{text}");
    };
    check("1", 1.0);
    check("-1", -1.0);
    check("-0", -0.0);
    check("0x1F", 31.0);
    check("0x_1f", 31.0);
    check("017", 15.0);
    check("08", 8.0);
    check("0_7", 7.0);
    check("017.5", 17.5);
    check("1_000_000", 1e6);
    check("1_0.0_1e1_0", 10.01e10);
    check(".5", 0.5);
    check("5.", 5.0);
    check("9223372036854775808", 9_223_372_036_854_775_808.0);
    check("inf", f64::INFINITY);
    check("-iNF", f64::NEG_INFINITY);
    check("1h30m", 5400.0);
    check("-1d5ms", -86_400.005);
    for text in ["5m5m", "1s1m", "5m1"] {
        assert!(error(text).contains(" duration "), "{text}");
    }
    assert!(matches!(parse("NaN").unwrap().node(), Node::Number(n) if n.value.is_nan()));
}

#[test]
fn texts_are_read_as_in_go() {
    let check = |text: &str, expected: &str| {
        let expr = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(expr.node(), &Node::String(expected.to_owned()), "{text}");
    };
    check(r#""\a\b\f\n\r\t\v\\\"'""#, "\u{7}\u{8}\u{c}\n\r\t\u{b}\\\"'");
    check(r#"'\'"'"#, "'\"");
    check(r"`\n'`", r"\n'");
    check("`a\nb`", "a\nb");
    check(r#""\x41\101é\xc3\xa9\U0001F600""#, "AAéé😀");
    let no_utf8 = r#"1:7: parse error: error unquoting string "\"\\xff\"": not UTF-8"#;
    assert_eq!(error(r#"foo{a="\xff"}"#), no_utf8, "no label has such a value");
}

#[test]
fn durations_are_evaluated_with_the_step_and_the_range() {
    let range = |text: &str| match parse(&format!("foo[{text}]")).unwrap().into_node() {
        Node::Matrix(m) => m.range,
        other => panic!("{other:?}"),
    };
    let check = |text: &str, expected: Result<i64, &str>| {
        let result = range(text).evaluate(15_000, 3_600_000);
        assert_eq!(
            result.as_ref().copied().map_err(Error::message),
            expected,
            "{text}"
        );
    };
    check("5m", Ok(300_000));
    check("1.5", Ok(1500));
    check("0.0019", Ok(1));
    check("step()", Ok(15_000));
    check("range()/2", Ok(1_800_000));
    check("2 * step() + 1", Ok(31_000));
    check("-(-1m)", Ok(60_000));
    check("2 ^ 3 ^ 2", Ok(512_000));
    check("10 % 4 - 1", Ok(1000));
    check("max_of(step(), 1m)", Ok(60_000));
    check("min_of(step(), 1m) * 2", Ok(30_000));
    check("step() - 1m", Err("4:15: duration must be greater than 0"));
    check("1 / (step() - 15)", Err("4:20: division by zero"));
    check("1 % (step() - 15)", Err("4:20: modulo by zero"));
    check("(-1 * 8) ^ 0.5", Err("5:18: duration is NaN or infinite"));
    check("1 + 290y * 2", Err("4:16: duration is out of range"));
    let Node::Vector(selector) = parse("foo offset (step() - 1m)").unwrap().into_node() else {
        panic!("a selector");
    };
    assert_eq!(selector.offset.evaluate_offset(15_000, 0).unwrap(), -45_000);
    assert_eq!(
        error("foo offset NaN"),
        "1:12: parse error: duration out of range"
    );
}

#[test]
fn selectors_of_series_are_read_alone() {
    let check = |text: &str, expected: Result<&str, &str>| {
        let matchers = parse_metric_selector(text);
        let shown = matchers.as_ref().map(|m| format!("{m:?}"));
        assert_eq!(shown.as_deref().map_err(|e| e.message()), expected, "{text}");
    };
    check("foo", Ok(r#"[__name__="foo"]"#));
    check("{}", Ok("[]"));
    check(r#"sum{a!="b",}"#, Ok(r#"[a!="b", __name__="sum"]"#));
    check(r#"{"a b",c=~"d"}"#, Ok(r#"[__name__="a b", c=~"d"]"#));
    check("", Err("unknown position: parse error: unexpected end of input"));
    check(" foo + 1", Err("1:6: parse error: unexpected <op:+>"));
    check("foo[5m]", Err("1:4: parse error: unexpected \"[\""));
    check("rate(foo)", Err("1:5: parse error: unexpected \"(\""));
}

#[test]
fn positions_count_lines_and_bytes_from_one() {
    let check = |offset, expected| assert_eq!(position("aé\nb", offset), expected, "{offset}");
    check(0, Some((1, 1)));
    check(3, Some((1, 4)));
    check(4, Some((2, 1)));
    check(5, Some((2, 2)));
    check(6, None);
}

#[test]
fn the_table_of_functions_is_sorted_and_sound() {
    assert!(functions().is_sorted_by_key(|f| f.name));
    for f in functions() {
        assert_eq!(function(f.name), Some(f));
        assert!(f.variadic == 0 || !f.args.is_empty(), "{}", f.name);
    }
    assert_eq!(function("RATE"), None);
}

#[test]
fn size_and_depth_are_limited() {
    let too_deep = "the expression is nested more than 200 deep";
    for (open, middle, close) in [
        ("(", "1", ")"),
        ("-", "foo", ""),
        ("1 ^ ", "1", ""),
        ("", "1", " + 1"),
        ("abs(", "foo", ")"),
        ("sum(", "foo", ")"),
        ("last_over_time(", "foo", "[1h:])"),
        ("1 + (", "1", ")"),
    ] {
        for (count, fits) in [(66, true), (250, false), (3000, false)] {
            let text = format!("{}{middle}{}", open.repeat(count), close.repeat(count));
            match parse(&text) {
                Ok(expr) => assert!(fits && shape(&parse(&expr.to_string()).unwrap()) == shape(&expr)),
                Err(e) => assert!(!fits && e.message().ends_with(too_deep), "{open}: {e}"),
            }
        }
    }
    for (open, middle, close) in [
        ("(", "1", ")"),
        ("-", "step()", ""),
        ("", "1", "+1"),
        ("1^", "1", ""),
    ] {
        for (count, fits) in [(150, true), (250, false), (9000, false)] {
            let duration = format!("{}{middle}{}", open.repeat(count), close.repeat(count));
            for text in [format!("foo[{duration}]"), format!("foo offset ({duration})")] {
                match parse(&text) {
                    Ok(_) => assert!(fits, "{open}"),
                    Err(e) => assert!(!fits && e.message().ends_with(too_deep), "{open}: {e}"),
                }
            }
        }
    }
    let long = "1".repeat(MAX_TEXT_BYTES + 1);
    assert_eq!(
        error(&long),
        "1:1: parse error: the expression has 65537 bytes, more than 65536"
    );
}

/// Pieces that expressions are made of.
const PIECES: &str = r#"( ) [ ] { } , : = == != =~ !~ < <= </ >/ + - * / ^ @ and or unless atan2 by on without ignoring
    group_left bool offset anchored smoothed fill( fill_left( start() end() step() range() max_of( min_of sum topk( rate(
    info( foo a:b é 5 5m 0 0x1f 1e 1h1 Inf NaN "x" 'y' `z` "\ "\x4 "\ud800 # [5m] [5m:1m] offset(-"#;

proptest! {
    #[test]
    fn garbage_never_panics(
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..30),
        text in "\\PC{0,40}",
    ) {
        let pieces: Vec<&str> = PIECES.split_whitespace().collect();
        let made: String = picks
            .iter()
            .map(|(i, blank)| format!("{}{}", i.get(&pieces), if *blank { " " } else { "" }))
            .collect();
        for text in [&made, &text] {
            _ = parse_metric_selector(text);
            if let Ok(expr) = parse(text) {
                let printed = expr.to_string();
                let again = parse(&printed).unwrap_or_else(|e| panic!("{text} as {printed}: {e}"));
                prop_assert_eq!(again.to_string(), printed);
                _ = expr.to_json();
            }
        }
    }
}
