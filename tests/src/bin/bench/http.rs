//! A small HTTP/1.1 client that keeps its connection: cheap enough to stand beside what it measures.

use anyhow::{Context as _, Result, bail, ensure};
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// The tenant of all requests, where a server knows tenants: what it writes about itself then lies apart.
pub(crate) const TENANT: &str = "bench";

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    closes: bool,
}

impl Answer {
    /// Whether the status says so.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
    /// The beginning of the body, for errors.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body[..self.body.len().min(300)]).into_owned()
    }
}

/// A connection to a port of loopback that is opened when needed.
pub(crate) struct Connection {
    port: u16,
    timeout: Duration,
    stream: Option<BufReader<TcpStream>>,
}

impl Connection {
    /// Without connecting yet. An answer may take ten minutes: compactions do.
    pub(crate) fn new(port: u16) -> Self {
        Self {
            port,
            timeout: Duration::from_secs(600),
            stream: None,
        }
    }
    /// With less patience.
    pub(crate) fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
    /// A GET of a path with its query.
    pub(crate) fn get(&mut self, path: &str) -> Result<Answer> {
        self.request("GET", path, "", &[])
    }
    /// A POST; `headers` are complete lines.
    pub(crate) fn post(&mut self, path: &str, headers: &str, body: &[u8]) -> Result<Answer> {
        self.request("POST", path, headers, body)
    }
    fn request(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<Answer> {
        let length = if method == "GET" {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nX-Scope-OrgID: {TENANT}\r\n{headers}{length}\r\n",
            self.port
        );
        // Dropped on every way out but the last: half an answer may still be on its way.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        stream.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        let answer = read_answer(&mut stream)?;
        if !answer.closes {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
    fn connect(&self) -> Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.timeout))?;
        stream.set_write_timeout(Some(self.timeout))?;
        Ok(BufReader::with_capacity(64 << 10, stream))
    }
}

fn read_answer(stream: &mut impl BufRead) -> Result<Answer> {
    let first = line(stream)?;
    let status = first.split(' ').nth(1).and_then(|s| s.parse().ok());
    let status: u16 = status.with_context(|| format!("not a status line: {first:?}"))?;
    let (mut length, mut chunked, mut closes) = (None, false, false);
    loop {
        let header = line(stream)?.to_ascii_lowercase();
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        match (name, value.trim()) {
            ("content-length", n) => length = Some(n.parse::<usize>()?),
            ("transfer-encoding", "chunked") => chunked = true,
            ("connection", "close") => closes = true,
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        read_chunks(stream, &mut body)?;
    } else if let Some(length) = length {
        body.resize(length, 0);
        stream.read_exact(&mut body)?;
    } else if status != 204 {
        closes = true;
        stream.read_to_end(&mut body)?;
    }
    Ok(Answer { status, body, closes })
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> Result<()> {
    loop {
        let head = line(stream)?;
        let size = usize::from_str_radix(head.split(';').next().unwrap_or_default().trim(), 16)?;
        let read = stream.by_ref().take(size as u64).read_to_end(body)?;
        ensure!(read == size, "the answer ends within a chunk");
        if !line(stream)?.is_empty() {
            bail!("no end of line after a chunk");
        }
        if size == 0 {
            return Ok(());
        }
    }
}

fn line(stream: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    stream.by_ref().take(64 << 10).read_line(&mut line)?;
    ensure!(line.ends_with('\n'), "the server closed the connection");
    Ok(line.trim_end().to_owned())
}

/// Percent-encoded, for the query of an address.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{escaped, read_answer};

    #[test]
    fn answers_of_every_framing_are_read() {
        let check = |bytes: &str, status: u16, body: &str, closes: bool| {
            let answer = read_answer(&mut bytes.as_bytes()).unwrap();
            assert_eq!(
                (answer.status, answer.text().as_str(), answer.closes),
                (status, body, closes)
            );
        };
        check("HTTP/1.1 204 No Content\r\n\r\n", 204, "", false);
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokX",
            200,
            "ok",
            false,
        );
        check(
            "HTTP/1.1 400 Bad\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx",
            400,
            "x",
            true,
        );
        let chunks =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
        check(chunks, 200, "abc0123456789", false);
        check("HTTP/1.1 200 OK\r\n\r\nto the end", 200, "to the end", true);
    }

    #[test]
    fn half_an_answer_is_an_error() {
        for bytes in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            "garbage\r\n\r\n",
        ] {
            assert!(read_answer(&mut bytes.as_bytes()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_selector_fits_into_an_address() {
        assert_eq!(escaped("up{a=\"b c\"}"), "up%7Ba%3D%22b%20c%22%7D");
    }
}
