//! The fields of each object, declared: see [`super::field`].
//!
//! The order of the fields is that of the reference and of messages that list them.

mod binding;
mod keys;
mod matchers;
mod provider;
mod rules;
mod top;

pub(super) use binding::*;
pub(super) use keys::*;
pub(super) use matchers::*;
pub(super) use provider::*;
pub(super) use rules::*;
pub(super) use top::*;
