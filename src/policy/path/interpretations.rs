//! The interpretations of a path: the paths that servers may derive from it before they use it.

mod marks;
mod step;

use std::borrow::Cow;

use marks::marks_of;
use step::STEPS;

use crate::policy::spelling::{in_normal_form, is_deceptive_if_normal};

/// Whether servers may drop all characters of the segment.
pub(super) fn is_blank(segment: Option<&[u8]>) -> bool {
    segment.is_none_or(|segment| step::is_blank(&in_normal_form(segment)))
}

/// The most bytes of all interpretations of one path: the worst path costs a worker a tenth of a millisecond.
pub(super) const MOST: usize = 16 * 1024;
/// A shorter interpretation counts as this many bytes, so a path has at most 42 interpretations.
const LEAST: usize = 384;
/// The most bytes that all steps together may read.
const MOST_WORK: usize = 6 * MOST;

/// Every interpretation in normal form; `None` if there are too many, or if the path is deceptive. No client
/// needs such a path.
///
/// The list omits interpretations that are not in normal form: a pattern treats each of them like its normal
/// form.
pub(super) fn of(path: &[u8]) -> Option<Vec<Vec<u8>>> {
    // The path itself counts too, because each step reads all of it.
    let mut left = MOST.checked_sub(path.len())?;
    let mut work = MOST_WORK;
    let mut found = vec![Found::new(path.to_vec())];
    let mut next = 0_usize;
    while let Some(path) = found.get(next).map(|found| found.path.clone()) {
        work = work.checked_sub(path.len())?;
        let mut has = marks_of(&path);
        let mut normal = Cow::Borrowed(&*path);
        let is_normal = has & marks::NOT_NORMAL == 0;
        if !is_normal {
            work = work.checked_sub(path.len())?;
            normal = in_normal_form(&path).into();
            work = work.checked_sub(normal.len())?;
            has |= marks_of(&normal) | marks::NOT_NORMAL;
        }
        if has & (marks::HIGH | marks::UNICODE) != 0 && is_deceptive_if_normal(&normal) {
            return None;
        }
        if let Some(found) = found.get_mut(next) {
            found.is_normal = is_normal;
        }
        for step in STEPS {
            if step.asks_for() & has == 0 {
                continue;
            }
            work = work.checked_sub(path.len())?;
            let made = Found::new(step.take(&path, &normal));
            if !found.iter().any(|known| known.is_same(&made)) {
                left = left.checked_sub(made.path.len().max(LEAST))?;
                found.push(made);
            }
        }
        next = next.saturating_add(1);
    }
    found.retain(|found| found.is_normal);
    Some(found.into_iter().map(|found| found.path).collect())
}

/// An interpretation.
struct Found {
    path: Vec<u8>,
    /// Distinguishes it from most of the others.
    hash: u64,
    is_normal: bool,
}

impl Found {
    fn new(path: Vec<u8>) -> Self {
        let mut hash = 0_u64;
        let mut rest = &*path;
        while let Some((eight, after)) = rest.split_first_chunk() {
            hash = (hash.rotate_left(5) ^ u64::from_le_bytes(*eight)).wrapping_mul(0x517c_c1b7_2722_0a95);
            rest = after;
        }
        let hash = rest.iter().fold(hash, |hash, byte| {
            (hash.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(0x517c_c1b7_2722_0a95)
        });
        Self {
            path,
            hash,
            is_normal: false,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.hash == other.hash && self.path == other.path
    }
}
#[cfg(test)]
mod tests;
