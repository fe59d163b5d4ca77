//! Text to nodes: the lexer and the parser.

use super::TemplateError;
use super::functions;

type Result<T> = std::result::Result<T, TemplateError>;

/// How deep blocks and parentheses may nest.
const MAX_DEPTH: usize = 50;

/// A piece of a template.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    /// Prints a value, unless the pipeline sets a variable.
    Action(Pipeline),
    Block {
        kind: BlockKind,
        pipeline: Pipeline,
        /// Key and value variables of a range.
        variables: Vec<String>,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockKind {
    If,
    Range,
    With,
}

/// Commands whose results are passed on from left to right.
#[derive(Debug, Clone)]
pub(super) struct Pipeline {
    /// The variable that takes the result; whether it is new (`:=`).
    pub(super) target: Option<(String, bool)>,
    pub(super) commands: Vec<Vec<Operand>>,
}

#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub(super) root: Root,
    pub(super) fields: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Root {
    Dot,
    Variable(String),
    Function(String),
    Bool(bool),
    Nil,
    Int(i64),
    Float(f64),
    Str(String),
    Nested(Box<Pipeline>),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    /// `.x`, directly after what it belongs to when `glued`.
    Field {
        name: String,
        glued: bool,
    },
    Dot,
    Variable(String),
    Int(i64),
    Float(f64),
    Str(String),
    Symbol(&'static str),
}

fn error<T>(message: impl Into<String>) -> Result<T> {
    Err(TemplateError(message.into()))
}

pub(super) fn parse(text: &str) -> Result<Vec<Node>> {
    let mut parser = Parser {
        pieces: split(text)?.into_iter(),
        variables: ["$", "$labels", "$externalLabels", "$externalURL", "$value"]
            .map(str::to_owned)
            .to_vec(),
        depth: 0,
    };
    match parser.nodes()? {
        (nodes, Stop::Text) => Ok(nodes),
        (_, Stop::Else(_)) => error("an {{else}} without {{if}}"),
        (_, Stop::End) => error("an {{end}} without a block"),
    }
}

enum Piece {
    Text(String),
    Action(String),
}

/// Cuts a text at its actions and applies the trim markers.
fn split(text: &str) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim_next = false;
    while let Some(open) = rest.find("{{") {
        let (before, after) = (&rest[..open], &rest[open + 2..]);
        let trims_before = after.starts_with('-') && after[1..].starts_with(char::is_whitespace);
        let inside = if trims_before { &after[1..] } else { after };
        let close = action_end(inside)?;
        let mut action = &inside[..close];
        let trims_after = action.ends_with('-') && action[..action.len() - 1].ends_with(char::is_whitespace);
        if trims_after {
            action = &action[..action.len() - 1];
        }
        let before = if trim_next { before.trim_start() } else { before };
        let before = if trims_before { before.trim_end() } else { before };
        pieces.push(Piece::Text(before.to_owned()));
        let action = action.trim();
        if !(action.starts_with("/*") && action.ends_with("*/")) {
            pieces.push(Piece::Action(action.to_owned()));
        }
        trim_next = trims_after;
        rest = &inside[close + 2..];
    }
    let last = if trim_next { rest.trim_start() } else { rest };
    pieces.push(Piece::Text(last.to_owned()));
    Ok(pieces)
}

/// Where an action ends; `}}` inside quotes and comments does not count.
fn action_end(text: &str) -> Result<usize> {
    let trimmed = text.trim_start();
    if trimmed.starts_with("/*") {
        let comment = text.find("*/").map(|at| at + 2);
        let close = comment.and_then(|from| text[from..].find("}}").map(|at| from + at));
        return close.map_or_else(|| error("a comment is not closed"), Ok);
    }
    let bytes = text.as_bytes();
    let (mut at, mut quote) = (0, None);
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Ok(at),
            (None, q @ (b'"' | b'`' | b'\'')) => quote = Some(q),
            (Some(b'"' | b'\''), b'\\') => at += 1,
            (Some(q), b) if q == b => quote = None,
            _ => {}
        }
        at += 1;
    }
    error("an action is not closed with }}")
}

/// What ended a list of nodes.
enum Stop {
    Text,
    Else(Vec<Token>),
    End,
}

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    variables: Vec<String>,
    depth: usize,
}

impl Parser {
    fn nodes(&mut self) -> Result<(Vec<Node>, Stop)> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let tokens = match piece {
                Piece::Text(text) => {
                    if !text.is_empty() {
                        nodes.push(Node::Text(text));
                    }
                    continue;
                }
                Piece::Action(action) => lex(&action)?,
            };
            let keyword = match tokens.first() {
                Some(Token::Word(word)) => word.as_str(),
                Some(_) => "",
                None => return error("an action is empty"),
            };
            match keyword {
                "if" => nodes.push(self.block(BlockKind::If, &tokens[1..])?),
                "range" => nodes.push(self.block(BlockKind::Range, &tokens[1..])?),
                "with" => nodes.push(self.block(BlockKind::With, &tokens[1..])?),
                "else" => return Ok((nodes, Stop::Else(tokens[1..].to_vec()))),
                "end" => return Ok((nodes, Stop::End)),
                "define" | "template" | "block" | "break" | "continue" => {
                    return error(format!("{{{{{keyword}}}}} is not supported"));
                }
                _ => nodes.push(Node::Action(self.pipeline(&tokens)?)),
            }
        }
        Ok((nodes, Stop::Text))
    }

    fn block(&mut self, kind: BlockKind, head: &[Token]) -> Result<Node> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return error(format!("blocks nest deeper than {MAX_DEPTH}"));
        }
        let outer = self.variables.len();
        let (variables, head) = if kind == BlockKind::Range {
            range_variables(head)
        } else {
            (Vec::new(), head)
        };
        let pipeline = self.pipeline(head)?;
        self.variables.extend(variables.iter().cloned());
        let (body, end) = self.nodes()?;
        let otherwise = match end {
            Stop::Text => return error("a block has no {{end}}"),
            Stop::End => Vec::new(),
            Stop::Else(rest) => self.otherwise(&rest)?,
        };
        self.variables.truncate(outer);
        self.depth -= 1;
        Ok(Node::Block {
            kind,
            pipeline,
            variables,
            body,
            otherwise,
        })
    }

    /// What follows `else`: nothing, or `if` and `with`, which share the block's end.
    fn otherwise(&mut self, rest: &[Token]) -> Result<Vec<Node>> {
        match rest.first() {
            None => match self.nodes()? {
                (nodes, Stop::End) => Ok(nodes),
                (_, Stop::Else(_)) => error("a second {{else}}"),
                (_, Stop::Text) => error("a block has no {{end}}"),
            },
            Some(Token::Word(word)) if word == "if" => Ok(vec![self.block(BlockKind::If, &rest[1..])?]),
            Some(Token::Word(word)) if word == "with" => Ok(vec![self.block(BlockKind::With, &rest[1..])?]),
            Some(_) => error("after else there may be if or with, nothing else"),
        }
    }

    fn pipeline(&mut self, tokens: &[Token]) -> Result<Pipeline> {
        let (target, tokens) = match tokens {
            [Token::Variable(name), Token::Symbol(":="), rest @ ..] => (Some((name.clone(), true)), rest),
            [Token::Variable(name), Token::Symbol("="), rest @ ..] => {
                self.known(name)?;
                (Some((name.clone(), false)), rest)
            }
            all => (None, all),
        };
        let mut at = 0;
        let commands = self.commands(tokens, &mut at)?;
        if at < tokens.len() {
            return error("a closing parenthesis without an opening one");
        }
        if let Some((name, true)) = &target {
            self.variables.push(name.clone());
        }
        Ok(Pipeline { target, commands })
    }

    /// Commands up to the end or a closing parenthesis.
    fn commands(&mut self, tokens: &[Token], at: &mut usize) -> Result<Vec<Vec<Operand>>> {
        let mut commands = vec![Vec::new()];
        while let Some(token) = tokens.get(*at) {
            match token {
                Token::Symbol(")") => break,
                Token::Symbol("|") => {
                    commands.push(Vec::new());
                    *at += 1;
                }
                _ => {
                    let operand = self.operand(tokens, at)?;
                    commands.last_mut().expect("starts with one").push(operand);
                }
            }
        }
        if commands.iter().any(Vec::is_empty) {
            return error("a command is missing");
        }
        for (i, command) in commands.iter().enumerate() {
            let function = matches!(command[0].root, Root::Function(_));
            if !function && (i > 0 || command.len() > 1) {
                return error("only functions take arguments");
            }
        }
        Ok(commands)
    }

    fn operand(&mut self, tokens: &[Token], at: &mut usize) -> Result<Operand> {
        let mut fields = Vec::new();
        let token = tokens[*at].clone();
        *at += 1;
        let root = match token {
            Token::Dot => Root::Dot,
            Token::Field { name, .. } => {
                fields.push(name);
                Root::Dot
            }
            Token::Variable(name) => {
                self.known(&name)?;
                Root::Variable(name)
            }
            Token::Int(n) => Root::Int(n),
            Token::Float(n) => Root::Float(n),
            Token::Str(s) => Root::Str(s),
            Token::Word(word) => word_root(&word)?,
            Token::Symbol("(") => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return error(format!("parentheses nest deeper than {MAX_DEPTH}"));
                }
                let commands = self.commands(tokens, at)?;
                if tokens.get(*at) != Some(&Token::Symbol(")")) {
                    return error("a parenthesis is not closed");
                }
                *at += 1;
                self.depth -= 1;
                let target = None;
                Root::Nested(Box::new(Pipeline { target, commands }))
            }
            Token::Symbol(symbol) => return error(format!("{symbol:?} is not expected here")),
        };
        while let Some(Token::Field { name, glued: true }) = tokens.get(*at) {
            fields.push(name.clone());
            *at += 1;
        }
        Ok(Operand { root, fields })
    }

    fn known(&self, name: &str) -> Result<()> {
        if self.variables.iter().any(|v| v == name) {
            Ok(())
        } else {
            error(format!("undefined variable {name:?}"))
        }
    }
}

/// `$k, $v :=` or `$v :=` before a range's pipeline.
fn range_variables(head: &[Token]) -> (Vec<String>, &[Token]) {
    match head {
        [
            Token::Variable(k),
            Token::Symbol(","),
            Token::Variable(v),
            Token::Symbol(":="),
            rest @ ..,
        ] => (vec![k.clone(), v.clone()], rest),
        [Token::Variable(v), Token::Symbol(":="), rest @ ..] => (vec![v.clone()], rest),
        all => (Vec::new(), all),
    }
}

fn word_root(word: &str) -> Result<Root> {
    match word {
        "true" => Ok(Root::Bool(true)),
        "false" => Ok(Root::Bool(false)),
        "nil" => Ok(Root::Nil),
        _ if functions::NAMES.contains(&word) => Ok(Root::Function(word.to_owned())),
        _ if functions::UNSUPPORTED.contains(&word) => {
            error(format!("the function {word:?} is not supported"))
        }
        _ => error(format!("the function {word:?} is not defined")),
    }
}

fn lex(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut glued = false;
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    while let Some(c) = rest.chars().next() {
        if c.is_whitespace() {
            rest = rest.trim_start();
            glued = false;
            continue;
        }
        let name_len = |text: &str| text.find(|c| !is_name(c)).unwrap_or(text.len());
        let (token, used) = match c {
            '"' => quoted(rest)?,
            '`' => match rest[1..].find('`') {
                Some(end) => (Token::Str(rest[1..=end].to_owned()), end + 2),
                None => return error("a raw string is not closed"),
            },
            '.' if rest[1..].starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                let len = name_len(&rest[1..]);
                let name = rest[1..=len].to_owned();
                (Token::Field { name, glued }, len + 1)
            }
            '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => (Token::Dot, 1),
            '$' => {
                let len = name_len(&rest[1..]);
                (Token::Variable(rest[..=len].to_owned()), len + 1)
            }
            '|' => (Token::Symbol("|"), 1),
            '(' => (Token::Symbol("("), 1),
            ')' => (Token::Symbol(")"), 1),
            ',' => (Token::Symbol(","), 1),
            ':' if rest.starts_with(":=") => (Token::Symbol(":="), 2),
            '=' => (Token::Symbol("="), 1),
            '0'..='9' | '+' | '-' | '.' => number(rest)?,
            c if c.is_alphabetic() || c == '_' => {
                let len = name_len(rest);
                (Token::Word(rest[..len].to_owned()), len)
            }
            c => return error(format!("unexpected {c:?} in an action")),
        };
        tokens.push(token);
        rest = &rest[used..];
        glued = true;
    }
    Ok(tokens)
}

fn number(text: &str) -> Result<(Token, usize)> {
    let mut previous = ' ';
    let len = text
        .find(|c: char| {
            let sign = matches!(c, '+' | '-') && matches!(previous, ' ' | 'e' | 'E');
            previous = c;
            !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || sign)
        })
        .unwrap_or(text.len());
    let digits = text[..len].replace('_', "");
    if let Ok(n) = digits.parse::<i64>() {
        return Ok((Token::Int(n), len));
    }
    match digits.parse::<f64>() {
        Ok(n) if digits.contains(|c: char| c.is_ascii_digit()) => Ok((Token::Float(n), len)),
        _ => error(format!("{:?} is not a number", &text[..len])),
    }
}

fn quoted(text: &str) -> Result<(Token, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Token::Str(value), at + 1)),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some('r') => value.push('\r'),
                Some(c @ ('"' | '\\' | '\'')) => value.push(c),
                Some(kind @ ('x' | 'u' | 'U')) => {
                    let len = match kind {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    };
                    let hex: String = chars.by_ref().take(len).map(|(_, c)| c).collect();
                    match u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32) {
                        Some(c) => value.push(c),
                        None => return error(format!("\\{kind}{hex} is not a character")),
                    }
                }
                _ => return error("an unknown escape in a string"),
            },
            c => value.push(c),
        }
    }
    error("a string is not closed")
}
