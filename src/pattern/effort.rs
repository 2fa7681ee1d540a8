//! What the patterns of one request may cost, and what they come to.

use std::rc::Rc;

/// Which patterns match a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hits {
    /// These, by their numbers, in order.
    Known(Rc<[u32]>),
    /// To find out would have cost too much.
    Unknown,
}

/// How much one request may still cost, in steps of about two nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Effort(pub(super) usize);

impl Effort {
    /// What one request may cost.
    #[must_use]
    pub const fn of_a_request() -> Self {
        Self(1_000_000)
    }

    /// Spends as many steps; `None`: there are not so many left.
    pub(crate) fn spend(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.checked_sub(bytes)?;
        Some(())
    }

    /// What is done to make a state takes longer than a step.
    pub(super) fn spend_more(&mut self, places: usize) -> Option<()> {
        self.spend(places.saturating_mul(4))
    }
}
