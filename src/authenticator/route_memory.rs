//! The memory of routes that Envoy chose for edited requests. It has a limit, and records whether it is
//! incomplete.

/// The most kinds that a worker remembers: more than a configuration has.
const MAX_KINDS: usize = 256;

/// The routes that edited requests took, by kind.
#[derive(Debug, Default)]
pub(super) struct Reroutes {
    kinds: Vec<Kind>,
    /// A further kind of request found no room.
    is_incomplete: bool,
}

/// Requests with the same edits, and the other routes that Envoy chose for them.
#[derive(Debug)]
struct Kind {
    /// The requirement that the client's own route names.
    from: Option<Vec<u8>>,
    /// The edited fields, as a hash.
    change: u64,
    /// The requirements that the other routes name. The operator's routes bound their number.
    to: Vec<Option<Vec<u8>>>,
}

impl Reroutes {
    /// The other routes of a kind, if it is known.
    pub(super) fn of(&self, from: Option<&[u8]>, change: u64) -> Option<&[Option<Vec<u8>>]> {
        let kind = self.kinds.get(self.kind(from, change)?)?;
        Some(&kind.to)
    }

    /// Whether no request took another route.
    pub(super) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Whether kinds were left out.
    pub(super) fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }

    fn kind(&self, from: Option<&[u8]>, change: u64) -> Option<usize> {
        let mut kinds = self.kinds.iter();
        kinds.position(|kind| kind.change == change && kind.from.as_deref() == from)
    }

    /// Remembers another route of a kind.
    pub(super) fn note(&mut self, from: Option<Vec<u8>>, change: u64, to: Option<Vec<u8>>) {
        match self.kind(from.as_deref(), change) {
            Some(known) => {
                if let Some(kind) = self.kinds.get_mut(known)
                    && !kind.to.contains(&to)
                {
                    kind.to.push(to);
                }
            }
            None if self.kinds.len() < MAX_KINDS => {
                let to = vec![to];
                self.kinds.push(Kind { from, change, to });
            }
            None => self.is_incomplete = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_remembered_or_the_lack_of_it() {
        let mut reroutes = Reroutes::default();
        let name = |number: u64| Some(number.to_string().into_bytes());
        for number in 0..256 {
            reroutes.note(name(1), number, name(2));
            reroutes.note(name(1), number, name(2));
        }
        // A further route of a known kind needs no further room.
        reroutes.note(name(1), 7, None);
        assert!(!reroutes.is_incomplete);
        assert_eq!(reroutes.kinds.len(), MAX_KINDS);
        let known = reroutes.kind(Some(b"1"), 7).unwrap();
        assert_eq!(reroutes.kinds[known].to, [name(2), None]);
        assert_eq!(reroutes.kind(None, 7), None);
        reroutes.note(None, 7, name(2));
        assert!(reroutes.is_incomplete);
        assert_eq!(reroutes.kinds.len(), MAX_KINDS);
    }
}
