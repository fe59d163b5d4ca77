//! Whole pictures: what they say, that hostile input is drawn or refused, and that PNG files are PNG files.

use super::*;

fn wave(name: &str, phase: f64) -> PanelSeries {
    let start = 1_763_720_000_000;
    PanelSeries {
        name: name.to_owned(),
        points: (0..240)
            .map(|i| (start + i * 15_000, 60e6 + 40e6 * (i as f64 / 25.0 + phase).sin()))
            .collect(),
    }
}

fn example(theme: Theme) -> PanelSpec {
    PanelSpec {
        title: "Memory by <container> & pod".to_owned(),
        theme,
        unit: Unit::Bytes,
        start_ms: 1_763_720_000_000,
        end_ms: 1_763_723_600_000,
        step_ms: 15_000,
        series: vec![wave("api \"main\"", 0.0), wave("db", 1.3), wave("кэш", 2.6)],
        ..PanelSpec::default()
    }
}

fn of_points(points: Vec<(i64, f64)>) -> PanelSpec {
    PanelSpec {
        series: vec![PanelSeries {
            name: "x".to_owned(),
            points,
        }],
        ..PanelSpec::default()
    }
}

/// Decodes; gives size and the number of different colours.
fn decode(file: &[u8]) -> (u32, u32, usize) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let colours: std::collections::HashSet<[u8; 3]> = pixels.as_chunks::<3>().0.iter().copied().collect();
    (info.width, info.height, colours.len())
}

#[test]
fn an_svg_says_what_was_asked_and_escapes_it() {
    let text = svg(&example(Theme::Light)).unwrap();
    let says = |what: &str| assert!(text.contains(what), "{what} is missing in {text}");
    says(r#"<svg width="1000" height="400" role="img" viewBox="0 0 8000 3200""#);
    says("Memory by &lt;container&gt; &amp; pod");
    says("api &quot;main&quot;");
    says("кэш");
    says("2025-11-21 10:13 – 11:13 UTC");
    says("10:30");
    says("32 MiB");
    says("#0072B2");
    assert!(!text.contains("<container>"));
    assert!(!text.contains("no data"));
    assert!(text.matches("<polyline").count() > 3);
}

#[test]
fn a_png_has_its_size_and_its_lines() {
    for theme in [Theme::Light, Theme::Dark] {
        let (width, height, colours) = decode(&png(&example(theme)).unwrap());
        assert_eq!((width, height), (1000, 400));
        assert!(colours > 50, "{colours}");
    }
    let light = png(&example(Theme::Light)).unwrap();
    assert_ne!(light, png(&example(Theme::Dark)).unwrap());
    assert_eq!(
        light,
        png(&example(Theme::Light)).unwrap(),
        "the same panel twice"
    );
}

#[test]
fn nothing_to_show_says_so() {
    for points in [
        vec![],
        vec![(0, f64::NAN)],
        vec![(-5, 1.0)],
        vec![(7, f64::INFINITY)],
    ] {
        let spec = of_points(points);
        assert!(svg(&spec).unwrap().contains("no data"));
        assert!(decode(&png(&spec).unwrap()).2 > 3);
    }
}

#[test]
fn hostile_numbers_are_drawn() {
    let wild = [
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
        -0.0,
        f64::NAN,
        f64::INFINITY,
    ];
    let cases: Vec<Vec<(i64, f64)>> = vec![
        vec![(1000, 5.0)],
        (0..50).map(|i| (i * 1000, 5.0)).collect(),
        (0..50).map(|i| (i * 1000, 0.0)).collect(),
        (0..50).map(|i| (i * 1000, 1e15 + i as f64 * 0.125)).collect(),
        wild.iter()
            .enumerate()
            .map(|(i, v)| (i as i64 * 1000, *v))
            .collect(),
        (0..200_000).map(|i| (i * 18, (i as f64).sin())).collect(),
        vec![(i64::MIN, 1.0), (i64::MAX, 2.0)],
    ];
    for points in cases {
        for stacked in [false, true] {
            let spec = PanelSpec {
                stacked,
                ..of_points(points.clone())
            };
            svg(&spec).unwrap();
            png(&spec).unwrap();
        }
    }
    let whole = PanelSpec {
        start_ms: i64::MIN,
        end_ms: i64::MAX,
        ..of_points(vec![(0, 1.0)])
    };
    png(&whole).unwrap();
}

#[test]
fn ten_thousand_series_are_drawn_up_to_the_limit_with_a_note() {
    let series = (0..10_000)
        .map(|i| PanelSeries {
            name: format!("series {i} {}", "long ".repeat(200)),
            points: vec![(0, f64::from(i)), (3_600_000, f64::from(i))],
        })
        .collect();
    let spec = PanelSpec {
        series,
        ..PanelSpec::default()
    };
    let text = svg(&spec).unwrap();
    assert!(text.contains("9900 more series are not drawn (at most 100 of 10000)"));
    assert!(text.contains("and "), "the legend is cut too");
    assert!(text.matches("<polyline").count() < 250, "lines are bounded");
    png(&spec).unwrap();
}

#[test]
fn sizes_and_ranges_are_bounded() {
    let check = |width: u32, height: u32, end_ms: i64, says: &str| {
        let spec = PanelSpec {
            width,
            height,
            end_ms,
            ..PanelSpec::default()
        };
        for error in [svg(&spec).err(), png(&spec).err()] {
            match error {
                Some(e) => assert!(!says.is_empty() && e.message().contains(says), "{e}"),
                None => assert!(says.is_empty(), "{width} x {height}"),
            }
        }
    };
    check(100, 100, 1, "");
    check(4000, 2000, 1, "");
    check(99, 400, 1, "99 x 400");
    check(4000, 4000, 1, "at most 8000000 pixels");
    check(u32::MAX, u32::MAX, 1, "width and height go from 100 to 4000");
    check(1000, 400, 0, "is not after its start");
}

#[test]
fn text_from_outside_is_tamed() {
    assert_eq!(clean("a\nb\u{0}c"), "a b c");
    assert_eq!(clean(&"x".repeat(1000)).chars().count(), MAX_TEXT_CHARS + 1);
    let mut spec = example(Theme::Light);
    spec.title = "\u{1b}]0;x\u{7} \u{FFFF}".to_owned();
    spec.series[0].name = "日本語 🦀".to_owned();
    assert!(!svg(&spec).unwrap().chars().any(|c| c.is_control() && c != '\n'));
    png(&spec).unwrap();
}

#[test]
fn the_font_that_ships_has_what_labels_need() {
    use ab_glyph::Font as _;
    for bold in [false, true] {
        let face = font::face(bold);
        for c in "AZaz09 äßéñøčž ΑΩαω АЯая –…µ%/{}=\"".chars() {
            assert_ne!(face.glyph_id(c).0, 0, "{c} bold {bold}");
        }
    }
    assert!(font::width("WWW", 12.0, false) > font::width("iii", 12.0, false));
    assert_eq!(font::fit("short", 12.0, false, 500.0), "short");
    let cut = font::fit("a rather long text", 12.0, false, 60.0);
    assert!(
        cut.ends_with('…') && font::width(&cut, 12.0, false) <= 60.0,
        "{cut}"
    );
}
