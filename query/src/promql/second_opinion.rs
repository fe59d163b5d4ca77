//! What promql-parser says of an expression: the parser on which many other tools in Rust are built.

use promql_parser::parser;

/// Why tools that are built on promql-parser do not read an expression that is right; `None` when they do, or when it is
/// not right at all.
pub fn second_opinion(text: &str) -> Option<String> {
    super::syntax::parse(text).ok()?;
    // It panics on durations that no clock can hold.
    match std::panic::catch_unwind(|| parser::parse(text)) {
        Ok(Ok(_)) => None,
        Ok(Err(e)) => Some(e),
        Err(_) => Some("a duration or a time is out of range".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_do_not_read_is_told() {
        let check = |text: &str, is_read: bool| assert_eq!(second_opinion(text).is_none(), is_read, "{text}");
        check("sum by (job) (rate(up[5m]))", true);
        check("rate(up[step()])", false);
        check("up smoothed", false);
        check("rate(up[5m] smoothed)", false);
        // What is wrong is nobody's but the parser's to say.
        check("rate(up", true);
    }
}
