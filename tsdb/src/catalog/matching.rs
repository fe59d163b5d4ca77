//! What a matcher asks of the values of its label, so that an index need not look at all of them.

use model::{MatchOp, Matcher};

/// The values of a label that decide about a matcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Values {
    /// Exactly these.
    Exactly(Vec<String>),
    /// Those with this prefix for which the matcher itself says so.
    Tested { prefix: String },
    /// All there are.
    Any,
}

/// A matcher, seen from the index.
#[derive(Debug)]
pub(super) struct Condition<'a> {
    pub matcher: &'a Matcher,
    pub values: Values,
    /// Whether a series must have one of the values, or must have none of them.
    pub is_positive: bool,
}

impl<'a> Condition<'a> {
    pub(super) fn of(matcher: &'a Matcher) -> Self {
        let is_positive = !matcher.matches_empty();
        let is_regex = matches!(matcher.op(), MatchOp::Regex | MatchOp::NotRegex);
        // `=` and `=~` name the values that match, `!=` and `!~` those that do not.
        let names_the_deciding = matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex) == is_positive;
        let values = match matcher.value() {
            "" => Values::Any,
            ".+" if is_regex => Values::Any,
            ".*" if is_regex => Values::Exactly(Vec::new()),
            value if !names_the_deciding => match is_regex {
                false => Values::Exactly(vec![value.to_owned()]),
                true => Values::Tested {
                    prefix: String::new(),
                },
            },
            value if !is_regex => Values::Exactly(vec![value.to_owned()]),
            value => match alternatives(value) {
                Some(texts) => Values::Exactly(texts),
                None => Values::Tested {
                    prefix: literal_prefix(value),
                },
            },
        };
        Self {
            matcher,
            values,
            is_positive,
        }
    }
    /// Whether a value is one of the deciding ones.
    pub(super) fn decides(&self, value: &str) -> bool {
        self.matcher.matches(value) == self.is_positive
    }
}

/// The texts of an expression that is nothing but texts between bars, perhaps in brackets; sorted.
fn alternatives(expression: &str) -> Option<Vec<String>> {
    let inner = expression
        .strip_prefix("(?:")
        .or_else(|| expression.strip_prefix('('))
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap_or(expression);
    let mut texts = vec![String::new()];
    let mut rest = inner;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('|') {
            texts.push(String::new());
            rest = after;
        } else {
            let (c, after) = literal(rest)?;
            texts.last_mut().expect("starts with one").push(c);
            rest = after;
        }
    }
    texts.sort_unstable();
    texts.dedup();
    Some(texts)
}

/// A text with which everything starts that matches.
fn literal_prefix(expression: &str) -> String {
    // A bar outside of all brackets makes everything before it optional. To tell where it stands is not worth it.
    let has_outer_bar = || {
        let mut depth = 0i32;
        let mut chars = expression.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => {
                    chars.next();
                }
                // In a class brackets and bars mean other things.
                '[' => return expression.contains('|'),
                '(' => depth += 1,
                ')' => depth -= 1,
                '|' if depth <= 0 => return true,
                _ => {}
            }
        }
        false
    };
    let mut prefix = String::new();
    let mut rest = expression.strip_prefix('^').unwrap_or(expression);
    if has_outer_bar() {
        return prefix;
    }
    while let Some((c, after)) = literal(rest) {
        // What is repeated may be missing.
        if after.starts_with(['*', '?', '{']) {
            break;
        }
        prefix.push(c);
        rest = after;
    }
    prefix
}

/// The first character, if it stands for itself, and what follows it.
fn literal(expression: &str) -> Option<(char, &str)> {
    let mut chars = expression.chars();
    let c = match chars.next()? {
        '\\' => chars.next().filter(char::is_ascii_punctuation)?,
        c if ".+*?()[]{}|^$".contains(c) => return None,
        c => c,
    };
    // `\<` and `\>` are word boundaries.
    let is_boundary = expression.starts_with("\\<") || expression.starts_with("\\>");
    (!is_boundary).then_some((c, chars.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn matchers_say_which_values_decide() {
        use MatchOp::{Equal, NotEqual, NotRegex, Regex};
        let check = |op, value: &str, positive: bool, shown: &str| {
            let matcher = Matcher::new("l", op, value).unwrap();
            let condition = Condition::of(&matcher);
            let found = match &condition.values {
                Values::Exactly(texts) => format!("= {}", texts.join(" ")),
                Values::Tested { prefix } => format!("~ {prefix}"),
                Values::Any => "any".to_owned(),
            };
            assert_eq!(
                (condition.is_positive, found.as_str()),
                (positive, shown),
                "{matcher}"
            );
        };
        check(Equal, "a", true, "= a");
        check(Equal, "", false, "any");
        check(NotEqual, "a", false, "= a");
        check(NotEqual, "", true, "any");
        check(Regex, "a|b|a", true, "= a b");
        check(Regex, "(a|b)", true, "= a b");
        check(Regex, r"(?:a\.x|b-1)", true, "= a.x b-1");
        check(Regex, "a|", false, "~ ");
        check(Regex, "", false, "any");
        check(Regex, ".+", true, "any");
        check(Regex, ".*", false, "= ");
        check(Regex, "ab.*", true, "~ ab");
        check(Regex, "^ab+", true, "~ ab");
        check(Regex, "abc?d", true, "~ ab");
        check(Regex, "ab{0,3}", true, "~ a");
        check(Regex, "ab|c.*", true, "~ ");
        check(Regex, "a[|]b", true, "~ ");
        check(Regex, "a[(]|b", true, "~ ");
        check(Regex, "a(b|c)d", true, "~ a");
        check(Regex, r"a\d+", true, "~ a");
        check(Regex, r"a\.b.*", true, "~ a.b");
        check(Regex, r"a\>b", true, "~ a");
        check(Regex, "(?i)ab", true, "~ ");
        check(NotRegex, "a|b", false, "= a b");
        check(NotRegex, "a.*", false, "~ a");
        check(NotRegex, "a|", true, "~ ");
        check(NotRegex, ".+", false, "any");
        check(NotRegex, "", true, "any");
        check(NotRegex, ".*", true, "= ");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn the_deciding_values_are_the_ones_that_decide(
            op in prop::sample::select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]),
            expression in r"[ab|()\[\].*+?^$\\{},0-2i:]{0,8}",
            values in prop::collection::vec("[ab.|+()0-2]{1,4}", 1..8),
        ) {
            let Ok(matcher) = Matcher::new("l", op, expression) else { return Ok(()) };
            let condition = Condition::of(&matcher);
            for value in values {
                let decides = match &condition.values {
                    Values::Exactly(texts) => texts.contains(&value),
                    Values::Tested { prefix } => value.starts_with(prefix) && condition.decides(&value),
                    Values::Any => true,
                };
                prop_assert_eq!(matcher.matches(&value), decides == condition.is_positive, "{} {:?} {:?}", matcher, condition, value);
            }
            prop_assert_eq!(matcher.matches_empty(), !condition.is_positive);
        }
    }
}
