//! Known differences in which this filter is wrong and jwt_authn is right.
//!
//! The test accepts these, so that it shows new ones, but only while a directed case shows them: remove a
//! fault here when you correct it. `DIFF_STRICT=1` accepts none.

use crate::deviations::Deviation;

pub(crate) const ALL: &[Deviation] = &[];
