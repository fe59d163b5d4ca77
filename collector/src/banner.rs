//! What `binnacle` prints when it starts: what it collects, where the page is, where data goes.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// What the banner tells.
pub struct Banner<'a> {
    /// The data directory.
    pub data: String,
    /// The page's address.
    pub page: String,
    /// OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP over HTTP, with its scheme.
    pub otlp_http: String,
    /// One line for each thing that is collected.
    pub collects: &'a [String],
    /// Where alerts go.
    pub alerts: String,
}

impl Banner<'_> {
    /// The text, one fact a line, ending with `ready`.
    pub fn text(&self) -> String {
        let mut out = format!("binnacle {}\n", env!("CARGO_PKG_VERSION"));
        let mut line = |key: &str, value: &str| {
            let _ = writeln!(out, "  {key:<9} {value}");
        };
        line("page", &format!("{}/", self.page));
        line(
            "otlp",
            &format!("grpc {}, http {}", self.otlp_grpc, self.otlp_http),
        );
        line(
            "push",
            &format!(
                "{0}/api/v1/write (remote write), {0}/loki/api/v1/push (Loki)",
                self.page
            ),
        );
        line("data", &self.data);
        for what in self.collects {
            line("collects", what);
        }
        line("alerts", &self.alerts);
        out.push_str("ready\n");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_is_short_and_complete() {
        let banner = Banner {
            data: "/d".into(),
            page: "http://127.0.0.1:9090".into(),
            otlp_grpc: "127.0.0.1:4317".parse().unwrap(),
            otlp_http: "http://127.0.0.1:4318".into(),
            collects: &["node h1 every 15s".into()],
            alerts: "9 rules, 1 receiver".into(),
        };
        let expected = "\
binnacle 0.1.0
  page      http://127.0.0.1:9090/
  otlp      grpc 127.0.0.1:4317, http http://127.0.0.1:4318
  push      http://127.0.0.1:9090/api/v1/write (remote write), http://127.0.0.1:9090/loki/api/v1/push (Loki)
  data      /d
  collects  node h1 every 15s
  alerts    9 rules, 1 receiver
ready
";
        assert_eq!(banner.text(), expected);
    }
}
