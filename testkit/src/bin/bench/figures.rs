//! The figures of a report.

/// A goal in words, its figure, and whether it is reached.
pub(crate) type Verdict = (String, f64, bool);

/// The median: the middle value, or the lower of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) / 2]
}

pub(crate) fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}
