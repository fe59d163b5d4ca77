//! Tests of matchers, above all of RE2's rules.

use super::*;
use proptest::prelude::*;

#[test]
fn matchers_follow_prometheus() {
    let check = |op, pattern: &str, value: &str, expected: bool| {
        let matcher = Matcher::new("l", op, pattern).unwrap();
        assert_eq!(matcher.matches(value), expected, "{matcher} on {value:?}");
    };
    check(MatchOp::Equal, "a", "a", true);
    check(MatchOp::NotEqual, "a", "", true);
    check(MatchOp::Regex, "a|b", "b", true);
    check(MatchOp::Regex, "a|b", "ab", false);
    check(MatchOp::Regex, "a.b", "a\nb", true);
    check(MatchOp::NotRegex, "a.*", "b", true);
    check(MatchOp::Regex, "", "", true);
}

#[test]
fn expressions_mean_what_they_mean_in_re2() {
    let check = |pattern: &str, matching: &[&str], others: &[&str]| {
        let regex = anchored_regex(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
        for (texts, expected) in [(matching, true), (others, false)] {
            for text in texts {
                assert_eq!(regex.is_match(text), expected, "{pattern} on {text:?}");
            }
        }
    };
    check(".", &["\n", "é"], &["", "ab"]);
    check("(?-s).", &["a"], &["\n"]);
    check("(?-s:.).", &["a\n"], &["\na"]);
    check("a(?-s)|.", &["a", "b"], &["\n"]);
    check("(?:a(?-s)b|.)|.", &["\n"], &[]);
    check("a$", &["a"], &["a\n"]);
    check("(?m)a$\nb", &["a\nb"], &["ab"]);
    check(r"\Aa\z", &["a"], &["aa"]);
    // ASCII, unlike the regex crate.
    check(r"\d+", &["09"], &["٣"]);
    check(r"\D", &["٣", "a", "\n"], &["3"]);
    check(r"\w+", &["aZ_9"], &["é"]);
    check(r"\W", &["é", "-"], &["a"]);
    check(r"\s", &[" ", "\t", "\n", "\x0C", "\r"], &["\x0B", "\u{a0}"]);
    check(r"\S", &["\x0B", "\u{a0}"], &[" "]);
    check(r"[\d\s]+[^\w]", &["1 é"], &["1 a"]);
    check(r"é\ba", &["éa"], &[]);
    check(r"a\bé", &["aé"], &[]);
    check(r"a\Bb", &["ab"], &[]);
    check(r"a\Bé", &[], &["aé"]);
    check(r"\Qa.b*\E+", &["a.b*", "a.b***"], &["aXb"]);
    check(r"\Qa|", &["a|"], &["a"]);
    check(r"\Q\Ea", &["a"], &[]);
    check(r"\<a\>\_\-\/", &["<a>_-/"], &["a"]);
    check(r"\101\x41\x{41}\0", &["AAA\0"], &[]);
    check(r"\07\t", &["\u{7}\t"], &[]);
    check(r"\377", &["ÿ"], &[]);
    check("a{,2}", &["a{,2}"], &["aa", ""]);
    check("a{2", &["a{2"], &["aa"]);
    check("{a}{01}", &["{a}{01}"], &["{a}"]);
    check("a{2}b{1,}c{0,1}", &["aabbc", "aab"], &["ab"]);
    check("a{1000}", &[&"a".repeat(1000)], &[""]);
    check("(?:a{10}){100}", &[&"a".repeat(1000)], &[]);
    check("(a{0}){1000}(a{0,}){1000}b", &["b", "ab"], &[]);
    check("^*a", &["a"], &[]);
    check("a(?i)*", &["aaa"], &["A"]);
    check("a*(?i)?", &["", "aa"], &[]);
    check("a+(?i)?b", &["b", "aab"], &["Ab"]);
    check("((a{1000}){0}){1000}", &[""], &["a"]);
    check("(?U)a+?", &["aa"], &[]);
    check("(?i)straße|k", &["STRAßE", "K", "\u{212a}"], &[]);
    check("(?i:a)b", &["Ab"], &["AB"]);
    check("(?)a(?:b)(?i-s:c)", &["abC"], &["aBc"]);
    check("(?P<x>a)(?<y>b)(?P<x>c)(?P<1>d)", &["abcd"], &[]);
    check("[]a]+", &["]a"], &["[a]"]);
    check("[^]a]", &["b", "\n"], &["]"]);
    check("[a-]+", &["a-"], &["b"]);
    check("[a-z&&[b]", &["a", "&", "["], &["]"]);
    check("[+--]", &["+", ",", "-"], &["."]);
    check("[a~~b]", &["~", "a"], &["c"]);
    check("[[:alpha:]_[:^digit:]]", &["a", "é"], &["1"]);
    check("[[:a]+", &["[:a"], &["]"]);
    check(r"[\]\-\x41-\x43\n]+", &["]-ABC\n"], &["D"]);
    check(r"\pL\p{Greek}\PL\p{^Lu}\P{^Nd}", &["aα-a1"], &["aα-A1"]);
    check(r"[\pN\p{Latin}]+", &["5é"], &["α"]);
    check(r"[\x{D800}]|[^\x{D800}]", &["a"], &[""]);
    check(r"[\x{D7FF}-\x{E000}]", &["\u{d7ff}", "\u{e000}"], &["a"]);
    check("a||b|", &["a", "b", ""], &["ab"]);
    check("()", &[""], &["a"]);
    check("#a b~&", &["#a b~&"], &[]);
    check("a\u{2028}☺{2}", &["a\u{2028}☺☺"], &[]);
}

#[test]
fn what_re2_refuses_is_refused_in_its_words() {
    let check = |pattern: &str, expected: &str| {
        let error = anchored_regex(pattern).map(|r| r.to_string()).unwrap_err();
        let expected = format!("error parsing regexp: {expected}");
        assert_eq!(error.message(), expected, "{pattern}");
    };
    check("(", "missing closing ): `(`");
    check("a(b", "missing closing ): `a(b`");
    check("a)b", "unexpected ): `a)b`");
    check("[a", "missing closing ]: `[a`");
    check("x[", "missing closing ]: `[`");
    check("[]", "missing closing ]: `[]`");
    check("[^]", "missing closing ]: `[^]`");
    check("[z-a]", "invalid character class range: `z-a`");
    check("[[:foo:]]", "invalid character class range: `[:foo:]`");
    check(r"[a-\d]", r"invalid escape sequence: `\d`");
    check(r"\p{Foo}", r"invalid character class range: `\p{Foo}`");
    check(r"\p{L", r"invalid character class range: `\p{L`");
    check(r"\pX", r"invalid character class range: `\pX`");
    check("*a", "missing argument to repetition operator: `*`");
    check("a|+?", "missing argument to repetition operator: `+?`");
    check("({2})", "missing argument to repetition operator: `{2}`");
    check("(?i)*", "missing argument to repetition operator: `*`");
    check("a**", "invalid nested repetition operator: `**`");
    check("a{2}{3}", "invalid nested repetition operator: `{2}{3}`");
    check("a+?+", "invalid nested repetition operator: `+?+`");
    check("a{1001}", "invalid repeat count: `{1001}`");
    check("a{3,2}", "invalid repeat count: `{3,2}`");
    check("a{1,99999999999}", "invalid repeat count: `{1,99999999999}`");
    check("(a{1000}){1000}", "invalid repeat count: `{1000}`");
    check("((a{100}){10}b){2}?", "invalid repeat count: `{2}?`");
    check(r"\", "trailing backslash at end of expression: ``");
    check(r"\1", r"invalid escape sequence: `\1`");
    check(r"\8", r"invalid escape sequence: `\8`");
    check(r"\q", r"invalid escape sequence: `\q`");
    check(r"\C", r"invalid escape sequence: `\C`");
    check(r"\Z", r"invalid escape sequence: `\Z`");
    check(r"\x4", r"invalid escape sequence: `\x4`");
    check(r"\x{110000}", r"invalid escape sequence: `\x{110000`");
    check(r"\x{}", r"invalid escape sequence: `\x{}`");
    check(r"[\b]", r"invalid escape sequence: `\b`");
    check("(?=a)", "invalid or unsupported Perl syntax: `(?=`");
    check("(?i-)", "invalid or unsupported Perl syntax: `(?i-)`");
    check("(?x)a", "invalid or unsupported Perl syntax: `(?x`");
    check("(?P<a-b>c)", "invalid named capture: `(?P<a-b>`");
    check("(?<", "invalid or unsupported Perl syntax: `(?<`");
    check("(?P<a", "invalid named capture: `(?P<a`");
    let deep = "(".repeat(2000);
    check(&deep, &format!("expression nests too deeply: `{deep}`"));
    let large = r"(?:\pL{1000}|x){1}".repeat(50);
    check(&large, &format!("expression too large: `{large}`"));
}

#[test]
fn searches_stop_at_line_breaks() {
    let regex = search_regex(r"a.\d").unwrap();
    assert!(regex.is_match("xab1") && !regex.is_match("a\n1") && !regex.is_match("ab٣"));
    assert!(search_regex("(?s)a.b").unwrap().is_match("xa\nb"));
    assert!(search_regex("[").is_err());
}

/// Pieces that expressions are made of.
const PIECES: [&str; 60] = [
    "a",
    "é",
    "Z",
    "0",
    "-",
    "_",
    " ",
    "\n",
    "&",
    "~",
    "#",
    "<",
    "(",
    ")",
    "(?:",
    "(?i)",
    "(?-s:",
    "(?P<a>",
    "(?<b>",
    "(?",
    "|",
    "[",
    "]",
    "[^",
    "[]",
    "[a-",
    "[:alpha:]",
    "[[:^space:]]",
    "&&",
    "--",
    "*",
    "+",
    "?",
    "{2}",
    "{2,}",
    "{0,3}",
    "{,4}",
    "{",
    "}",
    "^",
    "$",
    ".",
    r"\d",
    r"\W",
    r"\s",
    r"\b",
    r"\B",
    r"\A",
    r"\z",
    r"\pL",
    r"\P{^Greek}",
    r"\Q",
    r"\E",
    r"\.",
    r"\<",
    r"\07",
    r"\x41",
    r"\x{D800}",
    r"\n",
    "\\",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    /// What the translation lets through compiles, whatever it is.
    #[test]
    fn translations_compile(picks in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..12)) {
        let pattern: String = picks.concat();
        if let Err(e) = anchored_regex(&pattern) {
            prop_assert!(!e.message().contains("regex parse error"), "{}: {}", pattern, e);
        }
    }
}
