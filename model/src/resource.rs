//! Attributes, and the resource that a signal comes from, in the terms of OpenTelemetry.

/// An attribute's value.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// No value.
    #[default]
    Empty,
    /// Text.
    String(String),
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// A list.
    Array(Vec<Value>),
    /// A map, in the sender's order.
    Map(Attributes),
}

/// Attributes in the sender's order; keys are unique.
pub type Attributes = Vec<(String, Value)>;

impl Value {
    /// The text of a string value.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(s) => Some(s),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Self::String(s.to_owned())
    }
}
impl From<String> for Value {
    fn from(s: String) -> Self {
        Self::String(s)
    }
}

impl std::fmt::Display for Value {
    /// Plain text, as labels and tags show it: strings bare, lists and maps as JSON, bytes in hexadecimal.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => Ok(()),
            Self::String(s) => f.write_str(s),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(i) => write!(f, "{i}"),
            Self::Double(d) => write!(f, "{d}"),
            Self::Bytes(_) | Self::Array(_) | Self::Map(_) => self.write_json(f),
        }
    }
}

impl Value {
    fn write_json(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("null"),
            Self::String(s) => write_json_string(f, s),
            Self::Double(d) if !d.is_finite() => f.write_str("null"),
            Self::Bool(_) | Self::Int(_) | Self::Double(_) => write!(f, "{self}"),
            Self::Bytes(bytes) => {
                f.write_str("\"")?;
                bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
                f.write_str("\"")
            }
            Self::Array(values) => {
                f.write_str("[")?;
                for (i, v) in values.iter().enumerate() {
                    f.write_str(if i == 0 { "" } else { "," })?;
                    v.write_json(f)?;
                }
                f.write_str("]")
            }
            Self::Map(pairs) => {
                f.write_str("{")?;
                for (i, (k, v)) in pairs.iter().enumerate() {
                    f.write_str(if i == 0 { "" } else { "," })?;
                    write_json_string(f, k)?;
                    f.write_str(":")?;
                    v.write_json(f)?;
                }
                f.write_str("}")
            }
        }
    }
}

fn write_json_string(f: &mut std::fmt::Formatter<'_>, s: &str) -> std::fmt::Result {
    use std::fmt::Write as _;
    f.write_char('"')?;
    for c in s.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if u32::from(c) < 0x20 => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

/// What a signal comes from: a service in a container on a node. [`crate::identity`] says which attributes
/// become labels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Resource {
    /// OpenTelemetry resource attributes.
    pub attributes: Attributes,
}

impl Resource {
    /// The value of an attribute.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.attributes.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }
    /// Sets an attribute.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.attributes.iter_mut().find(|(k, _)| k == key) {
            Some(pair) => pair.1 = value,
            None => self.attributes.push((key.to_owned(), value)),
        }
    }
    /// `service.name`, or what OpenTelemetry says to put when it is missing.
    pub fn service_name(&self) -> &str {
        self.get("service.name")
            .and_then(Value::as_str)
            .filter(|s| !s.is_empty())
            .unwrap_or("unknown_service")
    }
}

/// The instrumentation scope that made a span or a record.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scope {
    /// The library's name.
    pub name: String,
    /// The library's version.
    pub version: String,
    /// Further attributes.
    pub attributes: Attributes,
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn values_show_as_text() {
        let map = Value::Map(vec![
            ("k\n".into(), Value::Int(1)),
            ("b".into(), Value::Bytes(vec![1, 255])),
        ]);
        let check = |v: Value, shown: &str| assert_eq!(v.to_string(), shown);
        check("x\"y".into(), "x\"y");
        check(Value::Double(1.5), "1.5");
        check(
            Value::Array(vec!["a".into(), Value::Bool(true), Value::Empty]),
            r#"["a",true,null]"#,
        );
        check(map, r#"{"k\n":1,"b":"01ff"}"#);
    }
}
