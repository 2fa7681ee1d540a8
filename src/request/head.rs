//! The values of a request.

use super::fields::{HeaderFields, Sorted, SpellingAction};
use crate::bytes::is_same;
use crate::http::{Authority, is_grpc};
use crate::ids::FieldId;

/// The values of the wanted fields, in the order of the request; a field that is there twice has two.
///
/// All text of a request is kept in one piece, and an emptied head keeps its room: a worker fills the same
/// head for each request, and allocates no memory for it.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    pub(super) text: Vec<u8>,
    values: Vec<(FieldId, Span)>,
    removed: Vec<Span>,
    /// Whether its first `content-type` is gRPC's; `None`: it has none, or not all of its fields were taken.
    pub is_grpc: Option<bool>,
    /// The request has a header in another spelling of one of the configuration's names, by its position in
    /// [`HeaderFields`], and the configuration refuses such requests.
    pub misspelt: Option<usize>,
    /// The requirement that the metadata of the route names, or otherwise that of its virtual host.
    pub route_requirement: Option<Vec<u8>>,
    /// The requirements of other routes that the request may take after edits.
    pub further_routes: Vec<Option<Vec<u8>>>,
    /// The filter state that `filter_state_rules` ask for.
    pub filter_state: Option<Vec<u8>>,
    /// The SHA-256 of the client's certificate in hexadecimal digits, if a provider's tokens may be bound to
    /// it.
    pub peer_certificate: Option<Vec<u8>>,
    /// The client's address with its port, if a mode depends on the client.
    pub source_address: Option<Vec<u8>>,
}

/// The place of a value in a head's text.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
}

/// An emptied head gives back room beyond so many bytes: one large request must not take it for good.
pub(super) const KEPT_ROOM: usize = 4096;

impl RequestHead {
    /// An empty head, to be filled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes everything out, and keeps the room.
    pub fn clear(&mut self) {
        let Self {
            text,
            values,
            removed,
            is_grpc,
            misspelt,
            route_requirement,
            further_routes,
            filter_state,
            peer_certificate,
            source_address,
        } = self;
        text.clear();
        text.shrink_to(KEPT_ROOM);
        values.clear();
        removed.clear();
        further_routes.clear();
        (*is_grpc, *misspelt) = (None, None);
        for value in [route_requirement, filter_state, peer_certificate, source_address] {
            *value = None;
        }
    }

    /// Gives the room back that is not needed, for one that is kept.
    pub fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.values.shrink_to_fit();
    }

    /// The number of bytes that the engine keeps of it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let others = [
            &self.route_requirement,
            &self.filter_state,
            &self.peer_certificate,
            &self.source_address,
        ];
        let values = self.values.iter().map(|(_, value)| self.text_at(*value).len());
        let others = others.into_iter().flatten().map(Vec::len);
        values.chain(others).fold(0, usize::saturating_add)
    }

    /// Adds a header field of the request, if the configuration names it.
    pub fn take(&mut self, fields: &HeaderFields, name: &[u8], value: &[u8]) {
        let sorted = fields.sort(name);
        let is_removed = match sorted {
            None => false,
            Some(Sorted::Known { id, is_owned }) => {
                if let Some(id) = id {
                    self.push(id, value);
                }
                is_owned
            }
            Some(Sorted::Spelling(position)) => {
                if fields.action == SpellingAction::RejectRequest {
                    self.misspelt = Some(position);
                }
                fields.action == SpellingAction::DropHeader
            }
        };
        if is_removed && !fields.removes_nothing {
            if self.removed().all(|known| known != name) {
                let name = self.keep(name);
                self.removed.push(name);
            }
        } else if is_same(name, b"content-type") && self.is_grpc.is_none() {
            self.is_grpc = Some(is_grpc(value));
        }
    }

    /// The client's own fields that must not reach the upstream, whatever the decision: each name once.
    pub fn removed(&self) -> impl Iterator<Item = &[u8]> {
        self.removed.iter().map(|name| self.text_at(*name))
    }

    /// Whether the host chooses the route again because a field is removed that may have selected it. The
    /// filter cannot know that route, so the request has to meet every requirement.
    #[must_use]
    pub fn route_is_in_doubt(&self) -> bool {
        !self.removed.is_empty()
    }

    /// Adds a field's value, as bytes: it need not be text.
    pub fn push(&mut self, field: FieldId, value: impl AsRef<[u8]>) {
        let value = self.keep(value.as_ref());
        self.values.push((field, value));
    }

    fn keep(&mut self, bytes: &[u8]) -> Span {
        let start = self.text.len();
        self.text.extend_from_slice(bytes);
        Span {
            start,
            end: self.text.len(),
        }
    }

    fn text_at(&self, span: Span) -> &[u8] {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// The field's first value.
    #[must_use]
    pub fn first(&self, field: FieldId) -> Option<&[u8]> {
        self.all(field).next()
    }

    /// The authority in the field; `None` if it is absent or repeated, or if servers may interpret it
    /// differently.
    #[must_use]
    pub fn authority(&self, field: FieldId) -> Option<Authority<'_>> {
        let mut values = self.all(field);
        let authority = Authority::parse(values.next()?)?;
        (values.next().is_none() && !authority.is_mapped_address()).then_some(authority)
    }

    /// The field's values.
    pub fn all(&self, field: FieldId) -> impl Iterator<Item = &[u8]> {
        self.values
            .iter()
            .filter(move |(id, _)| *id == field)
            .map(|(_, value)| self.text_at(*value))
    }
}
