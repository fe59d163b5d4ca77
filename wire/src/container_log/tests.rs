//! Tables of lines, and the joiner against a plain model.

use super::*;
use model::ErrorKind;
use proptest::prelude::*;

const NS: i64 = 1_719_828_000_123_456_789;

fn piece(output: Output, partial: bool, text: &[u8]) -> Piece<'_> {
    Piece {
        timestamp_ns: Some(NS),
        output: Some(output),
        partial,
        text: Cow::Borrowed(text),
    }
}

#[test]
fn cri_lines() {
    let check = |line: &str, expected: Piece<'_>| {
        assert_eq!(cri::parse(line.as_bytes()).unwrap(), expected, "{line}");
        assert_eq!(Format::detect(line.as_bytes()), Format::Cri);
    };
    let t = "2024-07-01T10:00:00.123456789Z";
    check(
        &format!("{t} stdout F hello world"),
        piece(Output::Stdout, false, b"hello world"),
    );
    check(
        &format!("{t} stderr P  two spaces"),
        piece(Output::Stderr, true, b" two spaces"),
    );
    check(&format!("{t} stdout F "), piece(Output::Stdout, false, b""));
    check(&format!("{t} stdout F"), piece(Output::Stdout, false, b""));
    check(&format!("{t} stdout P:x:y z"), piece(Output::Stdout, true, b"z"));
    check(
        "2024-07-01T12:00:00.123456789+02:00 stdout F z",
        piece(Output::Stdout, false, b"z"),
    );
    for bad in [
        "",
        "hello",
        &format!("{t} stdin F x"),
        &format!("{t} stdout X x"),
        "yesterday stdout F x",
        t,
    ] {
        let e = cri::parse(bad.as_bytes()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::BadData);
        assert_eq!(Format::detect(bad.as_bytes()), Format::Plain);
    }
}

#[test]
fn docker_lines() {
    let check = |line: &str, expected: Piece<'_>| {
        assert_eq!(docker::parse(line.as_bytes()).unwrap(), expected, "{line}");
        assert_eq!(Format::detect(line.as_bytes()), Format::Docker);
    };
    let t = r#""time":"2024-07-01T10:00:00.123456789Z""#;
    check(
        &format!(r#"{{"log":"hello\n","stream":"stdout",{t}}}"#),
        piece(Output::Stdout, false, b"hello"),
    );
    check(
        &format!(r#"{{"log":"dos\r\n","stream":"stderr",{t}}}"#),
        piece(Output::Stderr, false, b"dos"),
    );
    check(
        &format!(r#"{{"log":"a \"b\" \u001b[0m","stream":"stdout",{t}}}"#),
        piece(Output::Stdout, true, b"a \"b\" \x1b[0m"),
    );
    check(
        &format!(r#"{{"log":"\n","stream":"stdout","attrs":{{"tag":"x"}},{t}}}"#),
        piece(Output::Stdout, false, b""),
    );
    for bad in [
        "",
        "{}",
        r#"{"log":"x","stream":"stdout","time":"now"}"#,
        &format!(r#"{{"log":"x","stream":"tty",{t}}}"#),
    ] {
        assert_eq!(
            docker::parse(bad.as_bytes()).unwrap_err().kind(),
            ErrorKind::BadData,
            "{bad}"
        );
    }
}

#[test]
fn plain_lines_lose_only_their_carriage_return() {
    assert_eq!(*Format::Plain.parse(b"text\r").unwrap().text, *b"text");
    assert_eq!(*Format::Plain.parse(b"\xff").unwrap().text, *b"\xff");
}

#[test]
fn pieces_join_per_output() {
    let mut joiner = Joiner::new(100);
    assert_eq!(joiner.push(&piece(Output::Stdout, true, b"one "), 0), None);
    assert_eq!(joiner.push(&piece(Output::Stderr, true, b"other "), 10), None);
    assert_eq!(joiner.oldest_pending(), Some(0));
    let line = joiner.push(&piece(Output::Stdout, false, b"line"), 20).unwrap();
    assert_eq!((line.line.as_str(), line.cut_bytes), ("one line", 0));
    assert_eq!(joiner.oldest_pending(), Some(10));
    assert_eq!(joiner.flush()[0].line, "other ");
    assert_eq!(joiner.oldest_pending(), None);
}

#[test]
fn long_lines_are_cut_between_characters() {
    let mut joiner = Joiner::new(4);
    assert_eq!(
        joiner.push(&piece(Output::Stdout, true, "abcé".as_bytes()), 0),
        None
    );
    let line = joiner.push(&piece(Output::Stdout, false, b"tail"), 9).unwrap();
    assert_eq!((line.line.as_str(), line.cut_bytes), ("abc", 6));
    // Bytes that were never UTF-8 are shown as such.
    let line = joiner.push(&piece(Output::Stdout, false, b"\xffok"), 9).unwrap();
    assert_eq!((line.line.as_str(), line.cut_bytes), ("\u{fffd}ok", 0));
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(line: Vec<u8>) {
        let _ = (cri::parse(&line), docker::parse(&line), Format::detect(&line));
    }

    /// Whatever the order of the pieces, each output's bytes come out once and in order, and no more is kept
    /// than the limit allows.
    #[test]
    fn nothing_is_lost(pieces in prop::collection::vec((any::<bool>(), any::<bool>(), "[a-z]{0,9}"), 0..40), max in 1usize..20) {
        let mut joiner = Joiner::new(max);
        let (mut model, mut got) = ([Vec::<String>::new(), Vec::new()], [Vec::new(), Vec::new()]);
        let mut open = [false, false];
        for (i, (err, partial, text)) in pieces.iter().enumerate() {
            let k = usize::from(*err);
            if open[k] {
                model[k].last_mut().unwrap().push_str(text);
            } else {
                model[k].push(text.clone());
            }
            open[k] = *partial;
            let output = [Output::Stdout, Output::Stderr][k];
            let joined = joiner.push(&piece(output, *partial, text.as_bytes()), i as u64);
            prop_assert_eq!(joined.is_none(), *partial);
            got[k].extend(joined);
        }
        for joined in joiner.flush() {
            got[usize::from(joined.output == Some(Output::Stderr))].push(joined);
        }
        for (model, got) in model.iter().zip(&got) {
            prop_assert_eq!(model.len(), got.len());
            for (m, g) in model.iter().zip(got) {
                prop_assert_eq!(&m[..m.len().min(max)], &g.line);
                prop_assert_eq!(m.len() as u64, g.line.len() as u64 + g.cut_bytes);
            }
        }
    }
}
