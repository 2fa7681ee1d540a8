//! Writes the list of deviations into `docs/deviations.md`, and checks that both are equal.

use std::fmt::Write as _;

use crate::deviations::{ALL, Deviation};
use crate::refusals::{self, Refusal};

#[test]
fn golden_page_lists_every_deviation() {
    testkit::assert_golden("docs/deviations.md", &document());
}

#[test]
fn identifiers_are_stable_words_and_unique() {
    for (number, deviation) in ALL.iter().enumerate() {
        let is_word = deviation
            .id
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        assert!(is_word, "{}", deviation.id);
        assert!(
            ALL[..number].iter().all(|other| other.id != deviation.id),
            "{}",
            deviation.id
        );
    }
}

fn document() -> String {
    let mut text = String::from(
        "# Where this filter differs from jwt_authn\n\n\
         Every intentional difference from `jwt_authn` is listed below. The differential test (`make differential`)\n\
         runs both filters in one Envoy on the same configurations and requests, some of them generated. It fails on\n\
         a difference that is not in this list, and on an entry that is no longer true. The test writes this page.\n\n\
         | | here | jwt_authn | why |\n| --- | --- | --- | --- |\n",
    );
    let mut all: Vec<&Deviation> = ALL.iter().collect();
    all.sort_by_key(|deviation| deviation.id);
    for Deviation {
        id,
        ours,
        theirs,
        why,
        ..
    } in all
    {
        writeln!(text, "| `{id}` | {ours} | {theirs} | {why} |").expect("a string grows");
    }
    text.push_str(
        "\n## Configurations that are refused\n\n`jwt_authn` accepts these configurations, and this filter refuses them. Envoy \
         then does not start, or keeps\nits previous configuration, and the log says what to write instead.\n\n\
         | | what is written | jwt_authn | why not here |\n| --- | --- | --- | --- |\n",
    );
    let mut all: Vec<&Refusal> = refusals::ALL.iter().collect();
    all.sort_by_key(|refusal| refusal.id);
    for Refusal {
        id,
        what,
        theirs,
        why,
        ..
    } in all
    {
        writeln!(text, "| `{id}` | {what} | {theirs} | {why} |").expect("a string grows");
    }
    text
}
