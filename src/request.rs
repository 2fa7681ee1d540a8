//! A request's head, as far as the configuration needs it.
//!
//! The configuration determines the fields that a decision needs ([`WantedFields`]), and a client's fields
//! that must not reach the upstream ([`HeaderFields`]). The host reads and removes those and no others.

mod context;
mod fields;
mod head;
#[cfg(test)]
mod tests;

pub use context::RequestContext;
pub use fields::{HeaderFields, SpellingAction, WantedFields};
pub use head::RequestHead;
