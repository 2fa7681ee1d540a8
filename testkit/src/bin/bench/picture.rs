//! The figures as bars: this filter between no filter and jwt_authn.
//!
//! The bench draws it from results.json alone, so that the committed picture shows the committed figures.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// The sides that are drawn, each with its class.
const SIDES: &[(&str, &str)] = &[
    ("no filter", "none"),
    ("this filter", "ours"),
    ("native module", "module"),
    ("jwt_authn", "native"),
    ("jwt_authn, cache", "cached"),
];
const WIDTH: f64 = 720.0;
const LEFT: f64 = 160.0;
/// The longest bar. Its value is written after it.
const LONGEST: f64 = 430.0;
const BAR: f64 = 14.0;
const STEP: f64 = 18.0;
const GAP: f64 = 14.0;

/// A page may be light or dark, and the picture cannot see that, so it has its own background.
const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#1f2328}.case,.title{font-weight:600}.small{fill:#59636e}\
.page{fill:#fff}.none{fill:#afb8c1}.ours{fill:#d9480f}.module{fill:#f59f00}.native{fill:#1f6feb}.cached{fill:#79b8ff}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}.page{fill:#0d1117}.none{fill:#6e7681}\
.ours{fill:#ff7b39}.module{fill:#ffc078}.native{fill:#388bfd}.cached{fill:#a5d6ff}}";

/// Side, class and requests per second.
type Bar = (&'static str, &'static str, f64);

/// The picture of these results.
pub(crate) fn draw(results: &Value) -> String {
    let cases: Vec<(&str, Vec<Bar>)> = results["cases"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|case| {
            let bars = bars(case);
            // A single bar is not a comparison.
            let is_compared = bars.iter().any(|(_, class, _)| *class == "native");
            Some((case["case"].as_str()?, bars)).filter(|_| is_compared)
        })
        .collect();
    let all = cases.iter().flat_map(|(_, bars)| bars);
    let most = all.map(|(_, _, rate)| *rate).fold(1.0, f64::max);

    let mut body = String::new();
    let mut y = 24.0;
    let text = |body: &mut String, x: f64, y: f64, class: &str, words: &str| {
        let _ = writeln!(
            body,
            r#"<text class="{class}" x="{x:.0}" y="{y:.0}">{}</text>"#,
            escaped(words)
        );
    };
    text(
        &mut body,
        12.0,
        y,
        "title",
        "Requests for each second of Envoy's one core: more is better",
    );
    y += GAP;
    for (name, bars) in &cases {
        text(&mut body, 12.0, y + 11.0, "case", name);
        for (side, class, rate) in bars {
            let length = rate / most * LONGEST;
            let _ = writeln!(
                body,
                r#"<rect class="{class}" x="{LEFT}" y="{y:.0}" width="{length:.1}" height="{BAR}"/>"#
            );
            text(
                &mut body,
                LEFT + length + 6.0,
                y + 11.0,
                "small",
                &format!("{} {side}", grouped(*rate)),
            );
            y += STEP;
        }
        y += GAP;
    }
    y += 8.0;
    let measured = format!(
        "{}; medians of {} rounds of {} s",
        results["machine"].as_str().unwrap_or("an unknown machine"),
        results["rounds"],
        results["seconds"]
    );
    text(&mut body, 12.0, y, "small", &measured);
    y += GAP;
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0}" width="{WIDTH}" height="{y:.0}" role="img">
<title>Requests per second with no filter, with this filter and with jwt_authn</title>
<style>{STYLE}</style>
<rect class="page" width="100%" height="100%" rx="6"/>
{body}</svg>
"#
    )
}

fn bars(case: &Value) -> Vec<Bar> {
    let found = |name: &str| {
        let sides = case["sides"].as_array()?;
        sides.iter().find(|side| side["side"] == name)?["median"].as_f64()
    };
    SIDES
        .iter()
        .filter_map(|(name, class)| Some((*name, *class, found(name)?)))
        .collect()
}

/// With a comma between thousands.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    match digits.split_at(digits.len().saturating_sub(3)) {
        ("", units) => units.to_owned(),
        (thousands, units) => format!("{thousands},{units}"),
    }
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;")
}

/// Draws the previous results again.
pub(crate) fn redraw(out: &Path) {
    let text = fs::read_to_string(out.join("results.json")).expect("results.json is there");
    let results = serde_json::from_str(&text).expect("results.json is JSON");
    fs::write(out.join("results.svg"), draw(&results)).expect("results.svg is written");
}

#[test]
fn the_committed_picture_shows_the_committed_figures() {
    let read = |name: &str| {
        fs::read_to_string(testkit::workspace_root().join("bench").join(name)).expect("it is committed")
    };
    let results = serde_json::from_str(&read("results.json")).expect("JSON");
    assert!(
        draw(&results) == read("results.svg"),
        "bench/results.svg is another run's: `cargo run -p testkit --bin bench -- --draw`"
    );
}
