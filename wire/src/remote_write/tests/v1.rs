//! Where the labels of 1.0 are found, and samples in every form.

use super::*;

/// A field of a series.
#[derive(Debug, Clone)]
enum Piece {
    Label(String, String),
    Sample(i64, f64, SampleForm),
    /// A field that nobody knows.
    Unknown,
}

#[derive(Debug, Clone, Copy)]
enum SampleForm {
    /// As proto3 says: zeros are left out.
    Proto3,
    /// Both fields, always.
    Full,
    /// The time first.
    Turned,
    /// With a third field.
    Longer,
}

fn put(piece: &Piece, w: &mut Writer) {
    match piece {
        Piece::Label(name, value) => w.message(1, |w| {
            w.text(1, name);
            w.text(2, value);
        }),
        Piece::Sample(timestamp_ms, value, form) => w.message(2, |w| match form {
            SampleForm::Proto3 => {
                w.double(1, *value);
                w.int(2, *timestamp_ms);
            }
            SampleForm::Full | SampleForm::Longer => {
                w.double_always(1, *value);
                w.raw(0x10);
                w.varint(timestamp_ms.cast_unsigned());
                if matches!(form, SampleForm::Longer) {
                    w.int(3, 5);
                }
            }
            SampleForm::Turned => {
                w.int(2, *timestamp_ms);
                w.double(1, *value);
            }
        }),
        Piece::Unknown => w.text(15, "what"),
    }
}

fn any_piece() -> impl Strategy<Value = Piece> {
    let form = prop_oneof![
        Just(SampleForm::Proto3),
        Just(SampleForm::Full),
        Just(SampleForm::Turned),
        Just(SampleForm::Longer)
    ];
    let time = prop_oneof![Just(0), 1_700_000_000_000i64..1_800_000_000_000, any::<i64>()];
    let value = prop_oneof![Just(0.0), any::<f64>()];
    prop_oneof![
        4 => ("[a-c]{0,2}", "([xyü]{0,3}|[x-z]{100,300})").prop_map(|(n, v)| Piece::Label(n, v)),
        2 => (time, value, form).prop_map(|(t, v, form)| Piece::Sample(t, v, form)),
        1 => Just(Piece::Unknown),
    ]
}

proptest! {
    /// Whatever the order of the fields, the labels are those that were written and the samples are all there.
    #[test]
    fn fields_in_any_order(all in prop::collection::vec(prop::collection::vec(any_piece(), 0..12), 0..4)) {
        let (mut w, mut expected) = (Writer::default(), Vec::new());
        for pieces in &all {
            w.message(1, |w| pieces.iter().for_each(|piece| put(piece, w)));
            let (mut labels, mut samples) = (Writer::default(), Vec::new());
            for piece in pieces {
                match piece {
                    Piece::Label(..) => put(piece, &mut labels),
                    Piece::Sample(timestamp_ms, value, _) => samples.push(Sample {
                        timestamp_ms: *timestamp_ms,
                        value: *value,
                    }),
                    Piece::Unknown => {}
                }
            }
            if !samples.is_empty() {
                expected.push((labels.finish(), samples));
            }
        }
        let raw = decode_raw(Message::V1, w.finish(), &quota()).unwrap().payload;
        let mut samples = raw.samples.iter().copied();
        let found: Vec<_> = raw
            .series
            .iter()
            .map(|s| (raw.bytes[s.labels()].to_vec(), samples.by_ref().take(s.samples as usize).collect::<Vec<_>>()))
            .collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(raw.start_timestamps_ms, Vec::<i64>::new());
    }
}

fn labels_of(body: &[u8]) -> Vec<Vec<u8>> {
    let raw = decode_raw(Message::V1, body.to_vec(), &quota()).unwrap().payload;
    raw.series
        .iter()
        .map(|s| raw.bytes[s.labels()].to_vec())
        .collect()
}

#[test]
fn labels_stay_where_they_are() {
    let metrics = Metrics {
        series: ["a", "b"]
            .map(|name| Series {
                labels: Labels::from_pairs([("__name__", name), ("job", "x")]),
                samples: vec![Sample {
                    timestamp_ms: 1,
                    value: 2.0,
                }],
                ..Series::default()
            })
            .to_vec(),
        metadata: vec![],
    };
    let body = encode(&metrics);
    let (copy, place) = (body.clone(), body.as_ptr());
    let raw = decode_raw(Message::V1, body, &quota()).unwrap().payload;
    assert_eq!((raw.bytes.as_ptr(), &raw.bytes), (place, &copy));
    for (series, expected) in raw.series.iter().zip(&metrics.series) {
        let mut canonical = Vec::new();
        raw::put_labels(&mut canonical, expected.labels.iter());
        assert_eq!(raw.bytes[series.labels()], canonical);
        assert!(series.labels().end <= copy.len());
    }
}

#[test]
fn labels_in_odd_forms_are_written_anew() {
    let label = b"\x0a\x06\x0a\x01a\x12\x01b";
    let sample = b"\x12\x00";
    let check = |series: &[&[u8]], expected: &[u8]| {
        let mut w = Writer::default();
        w.bytes(1, &series.concat());
        assert_eq!(labels_of(&w.finish()), [expected], "{series:?}");
    };
    check(&[label, sample], label);
    check(&[sample, label], label);
    check(&[label, sample, label], &[&label[..], label].concat());
    // A tag in two bytes, and a length in five.
    check(&[b"\x8a\x00\x06\x0a\x01a\x12\x01b", sample], label);
    check(&[b"\x0a\x86\x80\x80\x80\x00\x0a\x01a\x12\x01b", sample], label);
    // A length in two bytes where one is enough is only unusual.
    let two = b"\x0a\x86\x00\x0a\x01a\x12\x01b";
    check(&[two, sample], two);
    check(&[sample], b"");
}

/// What is in a label is the store's matter, but a series that is no message is nobody's.
#[test]
fn broken_structure_is_an_error() {
    let check = |series: &[u8], says: &str| {
        let mut w = Writer::default();
        w.bytes(1, series);
        let e = decode_raw(Message::V1, w.finish(), &quota()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::BadData);
        assert!(e.message().contains(says), "{series:?}: {e}");
    };
    check(b"\x0a\x07abc", "ends in the middle of a field");
    check(b"\x0a\xff", "ends in the middle of a field");
    check(
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        "longer than 64 bits",
    );
    check(b"\x08\x01", "wrong type");
    check(b"\x12\x05\x09", "ends in the middle of a field");
    check(b"\x12\x02\x08\x01", "wrong type");
    check(b"\x12\x02\x10\x80", "ends in the middle of a field");
    let time = b"\x12\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";
    check(time, "longer than 64 bits");
    check(b"\x13", "wire type 3");
    check(b"\x1a\x06\x0a\x04\x0a\x02\xff\xff", "not valid UTF-8");
    let bad_text = labels_of(b"\x0a\x07\x0a\x03\x0a\x01\xff\x12\x00");
    assert!(raw::decode_labels(&bad_text[0]).is_err());
}

#[test]
fn series_without_anything_are_left_out() {
    let body = b"\x0a\x08\x0a\x06\x0a\x01a\x12\x01b";
    let decoded = decode_raw(Message::V1, body.to_vec(), &quota()).unwrap();
    assert_eq!(decoded, Decoded::default());
}
