//! The declarations of the fields of each object: see [`super::field`].
//!
//! Their order is that of the reference, and of messages that list the fields.

mod binding;
mod keys;
mod matchers;
mod provider;
mod rules;
mod shared;
mod top;

pub(super) use binding::*;
pub(super) use keys::*;
pub(super) use matchers::*;
pub(super) use provider::*;
pub(super) use rules::*;
pub(super) use shared::*;
pub(super) use top::*;
