//! All findings of a file: the faults of its configurations, and settings that are probably mistakes or not
//! safe.

use crate::faults::Faults;
use crate::input::Contents;
use crate::report::{Finding, Level};
use crate::{faults, lints};

/// The findings of a file, in the order of their places, and the faults of each of its configurations.
pub(crate) fn find(contents: &Contents) -> (Vec<Finding>, Vec<Faults>) {
    let file = &contents.file;
    let mut findings: Vec<Finding> = contents
        .unread
        .iter()
        .map(|unread| Finding {
            level: Level::Error,
            code: unread.code,
            message: unread.message.clone(),
            file: file.clone(),
            place: unread.place.clone(),
            path: String::new(),
            help: None,
            related: None,
        })
        .collect();
    if contents.found.is_empty() && contents.unread.is_empty() {
        findings.push(Finding {
            // A folder of manifests contains such files. `check` handles a run that found no configuration at
            // all.
            level: Level::Note,
            code: "no-configuration",
            message: "the file has no configuration of this filter".to_owned(),
            file: file.clone(),
            place: 0..0,
            path: String::new(),
            help: None,
            related: None,
        });
    }
    let all: Vec<Faults> = contents.found.iter().map(faults::find).collect();
    for (found, faults) in contents.found.iter().zip(&all) {
        findings.extend(lints::find(found, faults));
        findings.extend(faults.findings.iter().cloned());
    }
    findings.extend(lints::find_in_file(contents));
    findings.sort_by_key(|finding| (finding.place.start, std::cmp::Reverse(finding.level)));
    findings.dedup_by(|one, other| {
        one.place == other.place
            && one.code == other.code
            && one.message == other.message
            && one.path == other.path
    });
    (findings, all)
}
