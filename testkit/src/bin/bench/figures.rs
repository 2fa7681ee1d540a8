//! The figures of a report.

/// A goal in words, its figure, and whether it is reached.
pub(crate) type Verdict = (String, f64, bool);

/// The middle of the values; of two in the middle the lower.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) / 2]
}

pub(crate) fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}
