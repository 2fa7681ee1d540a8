//! The work that the patterns of one request may cause, and their results.

use std::rc::Rc;

/// Which patterns match a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hits {
    /// These, by their indexes, in order.
    Known(Rc<[u32]>),
    /// Unknown: the search would have exceeded the effort.
    Unknown,
}

/// The remaining work for one request, in steps of about two nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Effort(pub(super) usize);

impl Effort {
    /// The work for one request.
    #[must_use]
    pub const fn of_a_request() -> Self {
        Self(1_000_000)
    }

    /// Whether so little is left that nothing further can be decided.
    pub(crate) const fn is_spent(self) -> bool {
        self.0 < 64
    }

    /// Spends this many steps; `None` if not enough are left.
    pub(crate) fn spend(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.checked_sub(bytes)?;
        Some(())
    }

    /// To make a state takes longer than a step.
    pub(super) fn spend_more(&mut self, places: usize) -> Option<()> {
        self.spend(places.saturating_mul(4))
    }
}
