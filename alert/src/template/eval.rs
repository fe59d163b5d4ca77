//! Nodes and values to text.

use super::functions;
use super::go_format;
use super::parse::{BlockKind, Node, Operand, Pipeline, Root};
use super::{Data, MAX_OUTPUT_BYTES, TemplateError};
use model::Labels;

type Result<T> = std::result::Result<T, TemplateError>;

/// The most nodes that one expansion may visit.
const MAX_STEPS: usize = 20_000;

/// A value while a template runs.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Nil,
    /// The data that the template was given: `.` and `$`.
    Root,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Map(&'a Labels),
}

impl Value<'_> {
    /// As Go's `%v`.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Nil => "<no value>".to_owned(),
            Self::Root => "<data>".to_owned(),
            Self::Bool(b) => b.to_string(),
            Self::Int(n) => n.to_string(),
            Self::Float(f) => go_format::float_v(*f),
            Self::Str(s) => s.clone(),
            Self::Map(labels) => {
                let pairs: Vec<_> = labels.iter().map(|(k, v)| format!("{k}:{v}")).collect();
                format!("map[{}]", pairs.join(" "))
            }
        }
    }
    /// Go's name of the type.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Root => "struct",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Str(_) => "string",
            Self::Map(_) => "map[string]string",
        }
    }
    /// Go's truth: everything but zero values.
    pub(super) fn truth(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Root => true,
            Self::Bool(b) => *b,
            Self::Int(n) => *n != 0,
            Self::Float(f) => *f != 0.0,
            Self::Str(s) => !s.is_empty(),
            Self::Map(labels) => !labels.is_empty(),
        }
    }
}

pub(super) fn run(nodes: &[Node], data: &Data<'_>) -> Result<String> {
    let variables = vec![
        ("$".to_owned(), Value::Root),
        ("$labels".to_owned(), Value::Map(data.labels)),
        ("$externalLabels".to_owned(), Value::Map(data.external_labels)),
        (
            "$externalURL".to_owned(),
            Value::Str(data.external_url.to_owned()),
        ),
        ("$value".to_owned(), Value::Float(data.value)),
    ];
    let mut machine = Machine {
        data,
        variables,
        output: String::new(),
        steps: 0,
    };
    machine.nodes(nodes, &Value::Root)?;
    Ok(machine.output)
}

struct Machine<'a> {
    data: &'a Data<'a>,
    variables: Vec<(String, Value<'a>)>,
    output: String,
    steps: usize,
}

impl<'a> Machine<'a> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value<'a>) -> Result<()> {
        for node in nodes {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return Err(TemplateError(format!(
                    "the template needs more than {MAX_STEPS} steps"
                )));
            }
            self.node(node, dot)?;
            if self.output.len() > MAX_OUTPUT_BYTES {
                return Err(TemplateError(format!(
                    "the template makes more than {MAX_OUTPUT_BYTES} bytes"
                )));
            }
        }
        Ok(())
    }

    fn node(&mut self, node: &Node, dot: &Value<'a>) -> Result<()> {
        match node {
            Node::Text(text) => self.output.push_str(text),
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.target.is_none() {
                    self.output.push_str(&value.text());
                }
            }
            Node::Block {
                kind,
                pipeline,
                variables,
                body,
                otherwise,
            } => {
                let outer = self.variables.len();
                let value = self.pipeline(pipeline, dot)?;
                match kind {
                    BlockKind::If if value.truth() => self.nodes(body, dot)?,
                    BlockKind::With if value.truth() => self.nodes(body, &value)?,
                    BlockKind::Range if value.truth() => self.range(&value, variables, body)?,
                    _ => self.nodes(otherwise, dot)?,
                }
                self.variables.truncate(outer);
            }
        }
        Ok(())
    }

    fn range(&mut self, value: &Value<'a>, variables: &[String], body: &[Node]) -> Result<()> {
        let Value::Map(labels) = value else {
            return Err(TemplateError(format!(
                "range can't iterate over {}",
                value.text()
            )));
        };
        for (name, label) in labels.iter() {
            let outer = self.variables.len();
            let item = Value::Str(label.to_owned());
            match variables {
                [v] => self.variables.push((v.clone(), item.clone())),
                [k, v] => {
                    self.variables.push((k.clone(), Value::Str(name.to_owned())));
                    self.variables.push((v.clone(), item.clone()));
                }
                _ => {}
            }
            self.nodes(body, &item)?;
            self.variables.truncate(outer);
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value<'a>) -> Result<Value<'a>> {
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, piped, dot)?);
        }
        let value = piped.unwrap_or(Value::Nil);
        match &pipeline.target {
            Some((name, true)) => self.variables.push((name.clone(), value.clone())),
            Some((name, false)) => {
                if let Some(variable) = self.variables.iter_mut().rev().find(|(n, _)| n == name) {
                    variable.1 = value.clone();
                }
            }
            None => {}
        }
        Ok(value)
    }

    fn command(
        &mut self,
        command: &[Operand],
        piped: Option<Value<'a>>,
        dot: &Value<'a>,
    ) -> Result<Value<'a>> {
        let (first, rest) = command.split_first().expect("the parser refuses empty commands");
        let Root::Function(name) = &first.root else {
            return self.operand(first, dot);
        };
        let mut arguments = Vec::with_capacity(rest.len() + 1);
        for operand in rest {
            let value = self.operand(operand, dot)?;
            // `and` and `or` stop at the first argument that decides.
            let decided = (name == "and" && !value.truth()) || (name == "or" && value.truth());
            arguments.push(value);
            if decided {
                return Ok(arguments.pop().expect("pushed above"));
            }
        }
        arguments.extend(piped);
        let value = functions::call(name, &arguments, self.data)?;
        self.fields(value, &first.fields)
    }

    fn operand(&mut self, operand: &Operand, dot: &Value<'a>) -> Result<Value<'a>> {
        let root = match &operand.root {
            Root::Dot => dot.clone(),
            Root::Variable(name) => {
                let found = self.variables.iter().rev().find(|(n, _)| n == name);
                found.map_or(Value::Nil, |(_, v)| v.clone())
            }
            Root::Function(name) => functions::call(name, &[], self.data)?,
            Root::Bool(b) => Value::Bool(*b),
            Root::Nil => Value::Nil,
            Root::Int(n) => Value::Int(*n),
            Root::Float(f) => Value::Float(*f),
            Root::Str(s) => Value::Str(s.clone()),
            Root::Nested(pipeline) => self.pipeline(pipeline, dot)?,
        };
        self.fields(root, &operand.fields)
    }

    fn fields(&self, mut value: Value<'a>, fields: &[String]) -> Result<Value<'a>> {
        for field in fields {
            value = match (&value, field.as_str()) {
                (Value::Root, "Labels") => Value::Map(self.data.labels),
                (Value::Root, "ExternalLabels") => Value::Map(self.data.external_labels),
                (Value::Root, "ExternalURL") => Value::Str(self.data.external_url.to_owned()),
                (Value::Root, "Value") => Value::Float(self.data.value),
                // A label that is not there is the empty text, as in Prometheus.
                (Value::Map(labels), name) => Value::Str(labels.get(name).unwrap_or_default().to_owned()),
                (other, name) => {
                    return Err(TemplateError(format!(
                        "can't evaluate field {name} in a value of type {}",
                        other.kind()
                    )));
                }
            };
        }
        Ok(value)
    }
}
