//! Expressions with `@ T` on every selector and subquery that names no time: their answer must be the same at other times.
//!
//! Works on the text and knows no more of the grammar than it needs, so that it does not depend on the parser under test.

/// Functions whose value depends on the time of evaluation, or on the times of samples.
pub(super) const DEPEND_ON_TIME: [&str; 15] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "end",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
    "year",
];

/// The expression with `@ T` outside of subqueries that get one themselves. `None` when its answer may depend on the time
/// of evaluation all the same.
///
/// # Errors
/// A sentence about a text that cannot be a PromQL expression.
pub(super) fn pinned(expr: &str, at_ms: i64) -> Result<Option<String>, String> {
    let mut reader = Reader {
        tokens: tokens(expr)?,
        next: 0,
        pins: Vec::new(),
        time_calls: Vec::new(),
        depth: 0,
    };
    reader.sequence()?;
    if let Some(token) = reader.peek() {
        return Err(format!("unexpected {:?} at byte {}", token.text, token.start));
    }
    if !reader.time_calls.is_empty() {
        return Ok(None);
    }
    let (sign, ms) = (if at_ms < 0 { "-" } else { "" }, at_ms.unsigned_abs());
    let time = format!("{sign}{}.{:03}", ms / 1000, ms % 1000);
    let mut text = expr.to_owned();
    for pin in reader.pins.iter().rev() {
        match pin {
            Pin::After(place) => text.insert_str(*place, &format!(" @ {time}")),
            Pin::InsteadOf { start, end } => text.replace_range(*start..*end, &time),
        }
    }
    Ok(Some(text))
}

/// Times for an expression that is pinned to a time.
pub(super) fn other_times(at_ms: i64) -> Vec<i64> {
    if at_ms == 0 {
        return vec![-1000, 0, 1000];
    }
    vec![-10 * at_ms, 0, at_ms / 5, at_ms, 10 * at_ms]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Number,
    Quoted,
    /// Everything from a bracket to its end.
    Brackets,
    Sign,
}

#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
    start: usize,
}

impl Token<'_> {
    fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

fn tokens(expr: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(first) = expr[start..].chars().next() {
        let rest = &expr[start..];
        let run = |is_in: fn(char) -> bool| rest.find(|c| !is_in(c)).unwrap_or(rest.len());
        let (kind, length) = match first {
            c if c.is_whitespace() => {
                start += c.len_utf8();
                continue;
            }
            '#' => {
                start += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            '"' | '\'' | '`' => (Kind::Quoted, quoted_length(rest, first)?),
            '[' => {
                let end = rest.find(']').ok_or("a bracket without an end")?;
                (Kind::Brackets, end + 1)
            }
            c if c.is_ascii_digit() || c == '.' => (Kind::Number, number_length(rest)),
            c if c.is_alphabetic() || c == '_' || c == ':' => {
                (Kind::Word, run(|c| c.is_alphanumeric() || c == '_' || c == ':'))
            }
            c => (Kind::Sign, c.len_utf8()),
        };
        tokens.push(Token {
            kind,
            text: &rest[..length],
            start,
        });
        start += length;
    }
    Ok(tokens)
}

fn quoted_length(text: &str, quote: char) -> Result<usize, String> {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Ok(at + 1);
        }
        if c == '\\' && quote != '`' {
            chars.next();
        }
    }
    Err("a quoted text without an end".to_owned())
}

/// The length of a number or a duration.
fn number_length(text: &str) -> usize {
    let is_hex = text.starts_with("0x") || text.starts_with("0X");
    let mut before = ' ';
    let end = text.find(|c: char| {
        let is_sign = matches!(c, '+' | '-') && matches!(before, 'e' | 'E') && !is_hex;
        before = c;
        !(is_sign || c.is_ascii_alphanumeric() || c == '.' || c == '_')
    });
    end.unwrap_or(text.len())
}

/// The deepest nesting that is followed.
const MAX_DEPTH: usize = 200;

/// Where the time of a selector or a subquery goes.
#[derive(Debug, Clone, Copy)]
enum Pin {
    /// It has none: before this byte.
    After(usize),
    /// It has `@ start()` or `@ end()`, which changes with the query.
    InsteadOf { start: usize, end: usize },
}

impl Pin {
    fn start(self) -> usize {
        match self {
            Self::After(place) => place,
            Self::InsteadOf { start, .. } => start,
        }
    }
}

/// Reads an expression and remembers where pins go.
struct Reader<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
    /// Where the time goes, ascending.
    pins: Vec<Pin>,
    /// Where functions are called that depend on the time.
    time_calls: Vec<usize>,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.next).copied()
    }
    fn next_is(&self, text: &str) -> bool {
        self.peek()
            .is_some_and(|t| t.text == text && t.kind != Kind::Quoted)
    }
    fn next_is_word(&self, words: &[&str]) -> bool {
        self.peek()
            .is_some_and(|t| t.kind == Kind::Word && words.iter().any(|w| t.text.eq_ignore_ascii_case(w)))
    }
    fn eat(&mut self, text: &str) -> bool {
        let is_there = self.next_is(text);
        self.next += usize::from(is_there);
        is_there
    }

    /// Operands and operators up to a closing parenthesis or the end.
    fn sequence(&mut self) -> Result<(), String> {
        let mut wants_operand = true;
        while let Some(token) = self.peek() {
            match token.kind {
                Kind::Sign if token.text == ")" => return Ok(()),
                _ if wants_operand && self.is_matching_clause(token) => {
                    self.next += 1;
                    self.skip_group()?;
                }
                Kind::Sign if !matches!(token.text, "(" | "{") => {
                    self.next += 1;
                    wants_operand = true;
                }
                // `and` and the like.
                Kind::Word if !wants_operand => {
                    self.next += 1;
                    wants_operand = true;
                }
                _ => {
                    self.operand(token)?;
                    wants_operand = false;
                }
            }
        }
        Ok(())
    }

    /// Whether it is a word that stands between an operator and its right side.
    fn is_matching_clause(&self, token: Token<'_>) -> bool {
        let is_after_operator = self.next > 0
            && !matches!(self.tokens[self.next - 1].text, "(" | ",")
            && token.kind == Kind::Word;
        // Without a parenthesis the others are names of metrics.
        let words: &[&str] = match self.tokens.get(self.next + 1) {
            Some(next) if next.text == "(" => &[
                "bool",
                "fill",
                "fill_left",
                "fill_right",
                "group_left",
                "group_right",
                "ignoring",
                "on",
            ],
            _ => &["bool", "group_left", "group_right"],
        };
        is_after_operator && words.iter().any(|w| token.text.eq_ignore_ascii_case(w))
    }

    /// A selector, a call, an aggregation, a parenthesis or a literal, with all that follows it.
    fn operand(&mut self, token: Token<'a>) -> Result<(), String> {
        self.next += 1;
        let mut pin = None;
        match token.kind {
            Kind::Sign if token.text == "(" => self.group()?,
            Kind::Sign => {
                self.skip_braces()?;
                pin = Some(Pin::After(self.end()));
            }
            Kind::Word if self.next_is_word(&["by", "without"]) => {
                self.next += 1;
                self.skip_group()?;
                if !self.eat("(") {
                    return Err(format!("no parenthesis after {}", token.text));
                }
                self.group()?;
            }
            Kind::Word if self.eat("(") => {
                if DEPEND_ON_TIME.contains(&token.text) {
                    self.time_calls.push(token.start);
                }
                self.group()?;
                if self.next_is_word(&["by", "without"]) {
                    self.next += 1;
                    self.skip_group()?;
                }
            }
            Kind::Word if !["inf", "nan"].contains(&token.text.to_ascii_lowercase().as_str()) => {
                if self.eat("{") {
                    self.skip_braces()?;
                }
                pin = Some(Pin::After(self.end()));
            }
            _ => {}
        }
        self.modifiers(token.start, pin)
    }

    /// Brackets, `@`, `offset` and the like after an operand that starts at a byte; then it is known whether and where it
    /// lacks a pin.
    fn modifiers(&mut self, start: usize, mut pin: Option<Pin>) -> Result<(), String> {
        loop {
            match self.peek() {
                Some(token) if token.kind == Kind::Brackets => {
                    self.next += 1;
                    pin = Some(Pin::After(token.end()));
                    if token.text.contains(':') {
                        // The pin of a subquery holds for what is in it.
                        self.pins.retain(|pin| pin.start() < start);
                        self.time_calls.retain(|place| *place < start);
                    }
                }
                Some(token) if token.text == "@" => {
                    self.next += 1;
                    let changes = self.next_is_word(&["start", "end"]);
                    let start = self.peek().map_or(0, |t| t.start);
                    self.time()?;
                    let end = self.end();
                    pin = changes.then_some(Pin::InsteadOf { start, end });
                }
                Some(_) if self.next_is_word(&["offset"]) => {
                    self.next += 1;
                    self.time()?;
                }
                Some(_) if self.next_is_word(&["anchored", "smoothed"]) => self.next += 1,
                _ => break,
            }
        }
        self.pins.extend(pin);
        Ok(())
    }

    /// A number, a duration or a call, perhaps with signs or in parentheses.
    fn time(&mut self) -> Result<(), String> {
        while self.eat("-") || self.eat("+") {}
        if self.next_is("(") {
            return self.skip_group();
        }
        self.next += 1;
        if self.next_is("(") {
            self.skip_group()
        } else {
            Ok(())
        }
    }

    /// What follows an opening parenthesis, with the closing one.
    fn group(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} parentheses in each other"));
        }
        self.sequence()?;
        self.depth -= 1;
        if self.eat(")") {
            Ok(())
        } else {
            Err("a parenthesis without an end".to_owned())
        }
    }

    /// Passes over parentheses and what is in them, if they come next.
    fn skip_group(&mut self) -> Result<(), String> {
        let mut open = 0;
        while self.next_is("(") || open > 0 {
            let token = self.peek().ok_or("a parenthesis without an end")?;
            self.next += 1;
            match (token.kind, token.text) {
                (Kind::Sign, "(") => open += 1,
                (Kind::Sign, ")") if open == 1 => return Ok(()),
                (Kind::Sign, ")") => open -= 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// Passes over what follows an opening brace, with the closing one.
    fn skip_braces(&mut self) -> Result<(), String> {
        while !self.eat("}") {
            self.peek().ok_or("a brace without an end")?;
            self.next += 1;
        }
        Ok(())
    }

    /// Where the token before ends.
    fn end(&self) -> usize {
        self.next.checked_sub(1).map_or(0, |i| self.tokens[i].end())
    }
}
