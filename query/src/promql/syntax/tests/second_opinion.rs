//! The crate promql-parser reads the same trees, where it knows the language.

use super::random::Dice;
use crate::promql::syntax::*;
use model::MatchOp;
use promql_parser::label::{MatchOp as TheirMatchOp, Matchers};
use promql_parser::parser::{self as theirs, AtModifier, LabelModifier, Offset, VectorMatchCardinality};
use proptest::prelude::*;
use std::time::{Duration, SystemTime};

/// A tree as nested lists, from ours.
fn ours(expr: &Expr) -> String {
    let all = |exprs: Vec<&Expr>| exprs.into_iter().map(ours).collect::<Vec<_>>().join(" ");
    match expr.node() {
        Node::Number(n) => format!("{:?}", n.value),
        Node::String(text) => format!("{text:?}"),
        Node::Paren(e) => format!("(paren {})", ours(e)),
        // They leave out the plus.
        Node::Unary(UnaryOp::Plus, e) => ours(e),
        Node::Unary(UnaryOp::Minus, e) => format!("(- {})", ours(e)),
        Node::Binary(b) => {
            let matching = b.matching.clone().unwrap_or_default();
            let how = match matching.cardinality {
                Cardinality::OneToOne => "one-one",
                Cardinality::ManyToOne => "many-one",
                Cardinality::OneToMany => "one-many",
                Cardinality::ManyToMany => "many-many",
            };
            format!(
                "({} {} {how} {} {:?} {:?} {} {})",
                b.op.as_str(),
                b.return_bool,
                matching.on,
                matching.labels,
                matching.include,
                ours(&b.left),
                ours(&b.right)
            )
        }
        Node::Aggregate(a) => {
            let without = a.without && !a.grouping.is_empty();
            let op = a.op.as_str();
            format!("({op} {without} {:?} {})", a.grouping, all(expr.children()))
        }
        Node::Call(c) => format!("({} {})", c.function.name, all(expr.children())),
        Node::Vector(s) => our_selector(s),
        Node::Matrix(m) => format!("(range {} {})", our_selector(&m.selector), ms(&m.range)),
        Node::Subquery(s) => format!(
            "(subquery {} {} {:?} {:?} {})",
            ours(&s.expr),
            ms(&s.range),
            s.step.as_ref().map(ms),
            s.at,
            ms(&s.offset)
        ),
    }
}

fn ms(period: &Period) -> i64 {
    period.evaluate_offset(0, 0).expect("a fixed one")
}

fn our_selector(s: &VectorSelector) -> String {
    let matchers = s.matchers.iter().filter(|m| m.name() != "__name__");
    let matchers: Vec<String> = matchers
        .map(|m| format!("{}{}{:?}", m.name(), m.op().as_str(), m.value()))
        .collect();
    format!("(select {} {matchers:?} {:?} {})", s.name, s.at, ms(&s.offset))
}

/// A tree as nested lists, from theirs.
fn of_theirs(expr: &theirs::Expr) -> String {
    match expr {
        theirs::Expr::NumberLiteral(n) => format!("{:?}", n.val),
        theirs::Expr::StringLiteral(s) => format!("{:?}", s.val),
        theirs::Expr::Paren(p) => format!("(paren {})", of_theirs(&p.expr)),
        theirs::Expr::Unary(u) => format!("(- {})", of_theirs(&u.expr)),
        theirs::Expr::Binary(b) => their_binary(b),
        theirs::Expr::Aggregate(a) => {
            let (without, grouping) = match &a.modifier {
                Some(LabelModifier::Exclude(l)) => (!l.labels.is_empty(), l.labels.clone()),
                Some(LabelModifier::Include(l)) => (false, l.labels.clone()),
                None => (false, Vec::new()),
            };
            let param = a
                .param
                .as_ref()
                .map_or_else(String::new, |p| format!(" {}", of_theirs(p)));
            format!("({} {without} {grouping:?} {}{param})", a.op, of_theirs(&a.expr))
        }
        theirs::Expr::Call(c) => {
            let args: Vec<String> = c.args.args.iter().map(|arg| of_theirs(arg)).collect();
            format!("({} {})", c.func.name, args.join(" "))
        }
        theirs::Expr::VectorSelector(s) => their_selector(s),
        theirs::Expr::MatrixSelector(m) => {
            format!("(range {} {})", their_selector(&m.vs), m.range.as_millis())
        }
        theirs::Expr::Subquery(s) => format!(
            "(subquery {} {} {:?} {:?} {})",
            of_theirs(&s.expr),
            s.range.as_millis(),
            s.step.map(|d| d.as_millis() as i64),
            their_at(s.at.as_ref()),
            their_offset(s.offset.as_ref())
        ),
        theirs::Expr::Extension(_) => panic!("we make none"),
    }
}

fn their_binary(b: &theirs::BinaryExpr) -> String {
    let modifier = b.modifier.clone().unwrap_or_default();
    let set = matches!(b.op.to_string().as_str(), "and" | "or" | "unless");
    let (how, include) = match &modifier.card {
        VectorMatchCardinality::OneToOne if set => ("many-many", Vec::new()),
        VectorMatchCardinality::OneToOne => ("one-one", Vec::new()),
        VectorMatchCardinality::ManyToOne(l) => ("many-one", l.labels.clone()),
        VectorMatchCardinality::OneToMany(l) => ("one-many", l.labels.clone()),
        VectorMatchCardinality::ManyToMany => ("many-many", Vec::new()),
    };
    let labels = modifier
        .matching
        .as_ref()
        .map(|m| m.labels().labels.clone())
        .unwrap_or_default();
    format!(
        "({} {} {how} {} {labels:?} {include:?} {} {})",
        b.op,
        modifier.return_bool,
        modifier.is_matching_on(),
        of_theirs(&b.lhs),
        of_theirs(&b.rhs)
    )
}

fn their_selector(s: &theirs::VectorSelector) -> String {
    let Matchers { matchers, .. } = &s.matchers;
    let matchers: Vec<String> = matchers
        .iter()
        .map(|m| {
            let op = match m.op {
                TheirMatchOp::Equal => MatchOp::Equal,
                TheirMatchOp::NotEqual => MatchOp::NotEqual,
                TheirMatchOp::Re(_) => MatchOp::Regex,
                TheirMatchOp::NotRe(_) => MatchOp::NotRegex,
            };
            format!("{}{}{:?}", m.name, op.as_str(), m.value)
        })
        .collect();
    let name = s.name.as_deref().unwrap_or_default();
    let (at, offset) = (their_at(s.at.as_ref()), their_offset(s.offset.as_ref()));
    format!("(select {name} {matchers:?} {at:?} {offset})")
}

fn their_at(at: Option<&AtModifier>) -> Option<At> {
    at.map(|at| match at {
        AtModifier::Start => At::Start,
        AtModifier::End => At::End,
        AtModifier::At(time) => At::Time(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => after.as_millis() as i64,
            Err(before) => -(before.duration().as_millis() as i64),
        }),
    })
}

fn their_offset(offset: Option<&Offset>) -> i64 {
    let ms = |d: &Duration| d.as_millis() as i64;
    match offset {
        None => 0,
        Some(Offset::Pos(d)) => ms(d),
        Some(Offset::Neg(d)) => -ms(d),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn promql_parser_agrees(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let text = Dice::new(&bytes, false).vector(3).to_string();
        let Ok(their_tree) = theirs::parse(&text) else {
            // It refuses some of the language; how much is counted below.
            return Ok(());
        };
        let our_tree = parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
        prop_assert_eq!(ours(&our_tree), of_theirs(&their_tree), "{}", text);
    }
}

#[test]
fn promql_parser_reads_most_of_what_prometheus_reads() {
    let trees = include_str!("../../../../testdata/promql_trees.txt");
    let texts = super::table(trees).filter(|l| !l.starts_with("@ ") && !l.starts_with("= "));
    let (mut read, mut refused) = (0, 0);
    for text in texts {
        match theirs::parse(&super::with_line_breaks(text)) {
            Ok(_) => read += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(
        read > refused,
        "{read} read, {refused} refused: the second opinion is not one"
    );
}
