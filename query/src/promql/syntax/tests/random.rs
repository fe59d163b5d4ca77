//! Random trees: printed and parsed, they come back.

use super::shape;
use crate::promql::syntax::print;
use crate::promql::syntax::*;
use model::MatchOp;
use model::labels::METRIC_NAME;
use proptest::prelude::*;

/// Makes trees from random bytes; when they run out, the simplest ones.
pub(super) struct Dice<'a> {
    bytes: &'a [u8],
    /// Whether what came to the language after 2022 may come too.
    pub(super) modern: bool,
}

const LABELS: [&str; 4] = ["a", "b_c", "job", "by"];
const MODERN_LABELS: [&str; 6] = ["a", "job", "x.y", "é \"q\"", "0", "group_left"];
const VALUES: [&str; 5] = ["", "x", "a.b", "é\n\t\"\\", "☺'`"];
const PATTERNS: [&str; 4] = ["x+", "a|b", ".*", "[a-c]\\d"];
const SCALAR_OPS: [BinaryOp; 7] = [
    BinaryOp::Add,
    BinaryOp::Sub,
    BinaryOp::Mul,
    BinaryOp::Div,
    BinaryOp::Mod,
    BinaryOp::Pow,
    BinaryOp::Atan2,
];
const COMPARISONS: [BinaryOp; 6] = [
    BinaryOp::Equal,
    BinaryOp::NotEqual,
    BinaryOp::Greater,
    BinaryOp::GreaterEqual,
    BinaryOp::Less,
    BinaryOp::LessEqual,
];

fn tree(node: Node) -> Expr {
    let mut expr = Expr {
        node,
        span: Span::default(),
        depth: 1,
    };
    expr.depth += expr.children().iter().map(|c| c.depth).max().unwrap_or(0);
    expr
}

fn duration_expr(kind: DurationKind, wrapped: bool) -> DurationExpr {
    let mut expr = DurationExpr::new(kind, Span::default()).expect("not so deep");
    expr.wrapped = wrapped;
    expr
}

impl<'a> Dice<'a> {
    pub(super) fn new(bytes: &'a [u8], modern: bool) -> Self {
        Self { bytes, modern }
    }
    fn roll(&mut self, sides: usize) -> usize {
        let Some((first, rest)) = self.bytes.split_first() else {
            return 0;
        };
        self.bytes = rest;
        usize::from(*first) % sides
    }
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())]
    }
    fn coin(&mut self) -> bool {
        self.roll(2) == 1
    }
    fn rarely(&mut self) -> bool {
        self.roll(5) == 4
    }

    fn labels(&mut self) -> Vec<String> {
        let names: &[&str] = if self.modern { &MODERN_LABELS } else { &LABELS };
        (0..self.roll(3)).map(|_| self.pick(names).to_owned()).collect()
    }

    fn number(&mut self) -> Expr {
        let values = [0.0, 1.0, 0.1, 1e300, 5e-324, 123_456.75, 1e21, f64::INFINITY];
        let is_duration = self.modern && self.rarely();
        let value = match is_duration {
            true => (1 + self.roll(100_000)) as f64,
            false => self.pick(&values),
        };
        tree(Node::Number(Number { value, is_duration }))
    }

    pub(super) fn scalar(&mut self, depth: usize) -> Expr {
        match self.roll(if depth == 0 { 1 } else { 6 }) {
            0 => self.number(),
            1 => self.call("scalar", |dice| vec![dice.vector(depth - 1)]),
            2 => self.call("time", |_| Vec::new()),
            3 => {
                let inner = self.scalar(depth - 1);
                self.unary(inner)
            }
            4 => {
                let inner = self.scalar(depth - 1);
                tree(Node::Paren(Box::new(inner)))
            }
            _ => {
                let (left, right) = (self.scalar(depth - 1), self.scalar(depth - 1));
                let return_bool = self.coin();
                let op = self.pick(if return_bool { &COMPARISONS } else { &SCALAR_OPS });
                binary(op, left, right, return_bool, None)
            }
        }
    }

    pub(super) fn vector(&mut self, depth: usize) -> Expr {
        if depth == 0 {
            let selector = self.selector();
            return tree(Node::Vector(self.shifted(selector)));
        }
        let deeper = depth - 1;
        match self.roll(9) {
            0 => self.vector(0),
            1 => self.call("rate", |dice| vec![dice.matrix(deeper)]),
            2 => self.call("quantile_over_time", |dice| {
                vec![dice.scalar(deeper), dice.matrix(deeper)]
            }),
            3 => self.call("label_join", |dice| {
                let vector = dice.vector(deeper);
                let texts = (0..3 + dice.roll(2)).map(|_| tree(Node::String(dice.pick(&VALUES).to_owned())));
                std::iter::once(vector).chain(texts.collect::<Vec<_>>()).collect()
            }),
            4 => {
                let inner = self.vector(deeper);
                self.unary(inner)
            }
            5 => {
                let inner = self.vector(deeper);
                tree(Node::Paren(Box::new(inner)))
            }
            6 => self.aggregate(deeper),
            7 => {
                let (left, right) = (self.vector(deeper), self.scalar(deeper));
                let op = self.pick(&SCALAR_OPS);
                if self.coin() {
                    binary(op, left, right, false, None)
                } else {
                    binary(op, right, left, false, None)
                }
            }
            _ => self.vectors(deeper),
        }
    }

    fn unary(&mut self, inner: Expr) -> Expr {
        let inner = atom(inner);
        // A sign goes into a number.
        if matches!(inner.node, Node::Number(_)) {
            return inner;
        }
        let op = if self.coin() {
            UnaryOp::Plus
        } else {
            UnaryOp::Minus
        };
        tree(Node::Unary(op, Box::new(inner)))
    }

    fn vectors(&mut self, depth: usize) -> Expr {
        let (left, right) = (self.vector(depth), self.vector(depth));
        let mut matching = Matching {
            on: self.coin(),
            labels: self.labels(),
            ..Matching::default()
        };
        let set = self.rarely();
        let compares = self.rarely();
        let op = match (set, compares) {
            (true, _) => self.pick(&[BinaryOp::And, BinaryOp::Or, BinaryOp::Unless]),
            (_, true) => self.pick(&COMPARISONS),
            _ if self.modern && self.rarely() => self.pick(&[BinaryOp::TrimUpper, BinaryOp::TrimLower]),
            _ => self.pick(&SCALAR_OPS),
        };
        if set {
            matching.cardinality = Cardinality::ManyToMany;
        } else if self.rarely() {
            matching.cardinality = self.pick(&[Cardinality::ManyToOne, Cardinality::OneToMany]);
            matching.include = self.labels();
            matching.include.retain(|l| !matching.labels.contains(l));
        }
        if !set && self.modern && self.rarely() {
            let values = [None, Some(0.0), Some(-1.5), Some(1e9)];
            matching.fill_left = self.pick(&values);
            matching.fill_right = self.pick(&values);
        }
        let return_bool = op.is_comparison() && self.coin();
        binary(op, left, right, return_bool, Some(matching))
    }

    fn aggregate(&mut self, depth: usize) -> Expr {
        let mut op = self.pick(&AggregateOp::ALL);
        if !self.modern && matches!(op, AggregateOp::LimitK | AggregateOp::LimitRatio) {
            op = AggregateOp::Sum;
        }
        let param = match op {
            AggregateOp::CountValues => Some(tree(Node::String("l".to_owned()))),
            op if op.has_param() => Some(self.scalar(depth)),
            _ => None,
        };
        let expr = self.vector(depth);
        let grouping = self.labels();
        let without = self.coin();
        tree(Node::Aggregate(Box::new(Aggregate {
            op,
            expr,
            param,
            grouping,
            without,
        })))
    }

    fn call(&mut self, name: &str, args: impl FnOnce(&mut Self) -> Vec<Expr>) -> Expr {
        tree(Node::Call(Call {
            function: function(name).expect("a function"),
            args: args(self),
        }))
    }

    fn selector(&mut self) -> VectorSelector {
        let ops = [
            MatchOp::Equal,
            MatchOp::NotEqual,
            MatchOp::Regex,
            MatchOp::NotRegex,
        ];
        let mut matchers: Vec<Matcher> = (0..self.roll(3))
            .map(|_| {
                let op = self.pick(&ops);
                let value = match op {
                    MatchOp::Equal | MatchOp::NotEqual => self.pick(&VALUES),
                    _ => self.pick(&PATTERNS),
                };
                let name = if self.modern {
                    self.pick(&MODERN_LABELS)
                } else {
                    self.pick(&LABELS)
                };
                Matcher::new(name, op, value).expect("a matcher")
            })
            .collect();
        matchers.sort_by_key(print::matcher_text);
        let mut name = self.pick(&["foo", "a:b", "sum", "offset"]);
        if matchers.iter().any(|m| !m.matches_empty()) && self.coin() {
            name = "";
        } else {
            matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        let extended = if self.modern { self.roll(8) } else { 0 };
        VectorSelector {
            name: name.to_owned(),
            matchers,
            at: None,
            offset: Period::ZERO,
            anchored: extended == 6,
            smoothed: extended == 7,
        }
    }
    fn at(&mut self) -> Option<At> {
        let time = self.roll(200) as i64 * 1234 - 50_000;
        self.rarely()
            .then(|| self.pick(&[At::Time(time), At::Start, At::End]))
    }
    fn shifted(&mut self, mut selector: VectorSelector) -> VectorSelector {
        selector.at = self.at();
        selector.offset = self.offset();
        selector
    }

    fn offset(&mut self) -> Period {
        if !self.rarely() {
            return Period::ZERO;
        }
        match self.period() {
            Period::Fixed(nanos) => Period::Fixed(if self.coin() { -nanos } else { nanos }),
            Period::Expr(mut e) => {
                e.wrapped = true;
                Period::Expr(e)
            }
        }
    }
    fn period(&mut self) -> Period {
        if !self.modern || self.coin() {
            let units = [1, 1000, 60_000, 3_600_000, 86_400_000, 31_536_000_000];
            return Period::Fixed(self.pick(&units) * (1 + self.roll(70) as i64) * 1_000_000);
        }
        match self.duration(2) {
            DurationExpr {
                kind: DurationKind::Number(n),
                ..
            } => Period::Fixed((n.value * 1e9) as i64),
            other => Period::Expr(Box::new(other)),
        }
    }
    fn duration(&mut self, depth: usize) -> DurationExpr {
        let ops = [
            DurationOp::Add,
            DurationOp::Sub,
            DurationOp::Mul,
            DurationOp::Div,
            DurationOp::Mod,
            DurationOp::Pow,
            DurationOp::Min,
            DurationOp::Max,
        ];
        match self.roll(if depth == 0 { 3 } else { 5 }) {
            0 => {
                let number = Number {
                    value: (1 + self.roll(100)) as f64,
                    is_duration: self.coin(),
                };
                duration_expr(DurationKind::Number(number), false)
            }
            1 => duration_expr(DurationKind::Step, self.coin()),
            2 => duration_expr(DurationKind::Range, self.coin()),
            3 => {
                let inner = self.wrapped(depth - 1);
                duration_expr(DurationKind::Unary(UnaryOp::Minus, Box::new(inner)), self.coin())
            }
            _ => {
                let (left, right) = (self.wrapped(depth - 1), self.wrapped(depth - 1));
                let op = self.pick(&ops);
                let kind = DurationKind::Binary(op, Box::new(left), Box::new(right));
                duration_expr(kind, self.coin())
            }
        }
    }
    fn wrapped(&mut self, depth: usize) -> DurationExpr {
        let mut inner = self.duration(depth);
        if inner.number().is_some() {
            return duration_expr(DurationKind::Unary(UnaryOp::Plus, Box::new(inner)), true);
        }
        inner.wrapped = true;
        inner
    }

    fn matrix(&mut self, depth: usize) -> Expr {
        if depth == 0 || self.coin() {
            let selector = self.selector();
            let range = self.period();
            return tree(Node::Matrix(MatrixSelector {
                selector: self.shifted(selector),
                selector_span: Span::default(),
                range,
            }));
        }
        let expr = atom(self.vector(depth - 1));
        let expr = match expr.node {
            // What comes behind a selector is its own.
            Node::Vector(_) => tree(Node::Paren(Box::new(expr))),
            _ => expr,
        };
        let mut range = self.period();
        if !range.to_string().contains(|c: char| c.is_ascii_digit()) {
            // Prometheus' lexer wants a number before the colon.
            range = Period::Fixed(60_000_000_000);
        }
        let step = self.coin().then(|| self.period());
        tree(Node::Subquery(Box::new(Subquery {
            expr,
            range,
            step,
            at: self.at(),
            offset: self.offset(),
        })))
    }
}

/// In parentheses, unless nothing around it can tear it apart.
fn atom(expr: Expr) -> Expr {
    match &expr.node {
        Node::Unary(..) | Node::Binary(_) => tree(Node::Paren(Box::new(expr))),
        // It prints with a sign.
        Node::Number(n) if n.value.is_infinite() => tree(Node::Paren(Box::new(expr))),
        // An offset in parentheses would take operators behind it for its own.
        Node::Vector(_) | Node::Matrix(_) | Node::Subquery(_) if expr.to_string().ends_with(')') => {
            tree(Node::Paren(Box::new(expr)))
        }
        _ => expr,
    }
}

fn binary(op: BinaryOp, left: Expr, right: Expr, return_bool: bool, matching: Option<Matching>) -> Expr {
    let (left, right) = (atom(left), atom(right));
    tree(Node::Binary(Box::new(Binary {
        op,
        left,
        right,
        return_bool,
        matching,
    })))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn trees_survive_printing(bytes in prop::collection::vec(any::<u8>(), 0..120), scalar: bool) {
        let mut dice = Dice::new(&bytes, true);
        let tree = if scalar { dice.scalar(4) } else { dice.vector(4) };
        for printed in [tree.to_string(), tree.pretty()] {
            let again = parse(&printed).unwrap_or_else(|e| panic!("{printed}: {e}"));
            prop_assert_eq!(shape(&again), shape(&tree), "{}", printed);
            prop_assert_eq!(again.to_json(), tree.to_json());
        }
    }
}
