//! Differences in which this filter is wrong, known and not yet mended.
//!
//! They are let pass so that new ones are seen, and only as long as a directed case shows them: whoever mends one takes it out
//! here. `DIFF_STRICT=1` lets none pass.

use crate::case::Outcome;
use crate::deviations::Deviation;
use crate::explain::{list, owned};

pub(crate) const ALL: &[Deviation] = &[
    Deviation {
        id: "fault-owned-headers-match",
        ours: "A rule may match a header that the filter owns by what the client wrote there.",
        theirs: "Such headers are removed before a rule is chosen.",
        why: "A client chooses the rule with a header that only the filter may write.",
        explains: |case, _| {
            list(case.config, "rules")
                .flat_map(|rule| list(&rule["match"], "headers"))
                .filter_map(|matcher| matcher["name"].as_str())
                .any(|name| owned(case, name) && !case.sent(name).is_empty())
        },
    },
    Deviation {
        id: "fault-allow-missing-half",
        ours: "`allow_missing` beside a `requires_all` takes a token of one of its providers.",
        theirs: "It does not.",
        why: "All or none is not one of them.",
        explains: |case, _| {
            let text = case.config.to_string();
            matches!(case.ours, Outcome::Forwarded(_))
                && matches!(case.theirs, Outcome::Denied { .. })
                && text.contains("requires_all")
                && text.contains("{\"allow_missing\":{}}")
        },
    },
];
