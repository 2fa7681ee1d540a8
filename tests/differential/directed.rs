//! Directed cases: at least one for each field of jwt_authn, and for each deviation.
use crate::run::Trial;
pub(crate) fn all() -> Vec<Trial> { Vec::new() }
