//! A request's head, as far as the configuration needs it.
//!
//! The configuration determines the fields that a decision needs ([`WantedFields`]), and a client's fields
//! that must not reach the upstream ([`HeaderFields`]). The host reads and removes those and no others.

use crate::bytes::is_same;
use crate::http::{Authority, is_grpc};
use crate::ids::FieldId;

/// The fields that decisions need, in lower case, pseudo-fields such as `:path` included.
#[derive(Clone, Debug, Default)]
pub struct WantedFields(Vec<Box<str>>);

impl WantedFields {
    /// The id of the field with this name, which is wanted from now on.
    pub fn id(&mut self, name: &str) -> FieldId {
        if let Some(index) = self.0.iter().position(|known| **known == *name) {
            return FieldId::new(index);
        }
        self.0.push(name.into());
        FieldId::new(self.0.len().saturating_sub(1))
    }

    /// The number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether decisions need no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields with their names.
    pub fn iter(&self) -> impl Iterator<Item = (FieldId, &str)> {
        self.0
            .iter()
            .enumerate()
            .map(|(index, name)| (FieldId::new(index), &**name))
    }

    /// The field of this name, if it is wanted.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<FieldId> {
        self.0
            .iter()
            .position(|known| known.as_bytes() == name)
            .map(FieldId::new)
    }
}

/// The treatment of a header whose name some servers take for one of the configuration's: Envoy's
/// `headers_with_underscores_action`, for these names only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpellingAction {
    /// The filter removes the header.
    #[default]
    DropHeader,
    /// The filter refuses the request.
    RejectRequest,
    /// The header reaches the upstream.
    Allow,
}

/// The header fields that the configuration names.
///
/// CGI, WSGI and similar interfaces pass a field on as a variable in which every character but letters and
/// digits is `_`: the application cannot distinguish `X_Jwt_Sub` or `x.jwt.sub` from `x-jwt-sub`. All of
/// these are spellings of one name.
#[derive(Clone, Debug, Default)]
pub struct HeaderFields {
    known: Vec<KnownField>,
    /// A bit for the length of each known name: for most fields of a request, this single test suffices.
    lengths: u64,
    action: SpellingAction,
    /// Nothing is removed.
    removes_nothing: bool,
}

#[derive(Clone, Debug)]
struct KnownField {
    name: Box<[u8]>,
    id: Option<FieldId>,
    /// Only the filter may write it.
    is_owned: bool,
    /// The upstream must not receive its other spellings, nor trailers with its name.
    is_guarded: bool,
}

/// The kinds of fields of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sorted {
    /// One of the names, as in the configuration.
    Known { id: Option<FieldId>, is_owned: bool },
    /// Another spelling of one.
    Spelling,
}

impl HeaderFields {
    /// The fields that decisions need, those that the filter owns, and the treatment of other spellings of
    /// both. Pseudo-fields have no other spelling.
    #[must_use]
    pub fn new(
        wanted: &WantedFields,
        owned: impl Iterator<Item = impl AsRef<str>>,
        action: SpellingAction,
    ) -> Self {
        let mut known: Vec<KnownField> = wanted
            .iter()
            .map(|(id, name)| KnownField {
                name: name.as_bytes().into(),
                id: Some(id),
                is_owned: false,
                is_guarded: !name.starts_with(':'),
            })
            .collect();
        for name in owned {
            let name = name.as_ref().as_bytes();
            match known.iter_mut().find(|field| *field.name == *name) {
                Some(field) => field.is_owned = true,
                None => known.push(KnownField {
                    name: name.into(),
                    id: None,
                    is_owned: true,
                    is_guarded: true,
                }),
            }
        }
        let lengths = known
            .iter()
            .fold(0, |lengths, field| lengths | length_bit(&field.name));
        Self {
            known,
            lengths,
            action,
            removes_nothing: false,
        }
    }

    /// The same, but no field and no trailer is removed.
    #[must_use]
    pub fn without_removals(self) -> Self {
        Self {
            removes_nothing: true,
            ..self
        }
    }

    fn sort(&self, name: &[u8]) -> Option<Sorted> {
        if self.lengths & length_bit(name) == 0 {
            return None;
        }
        // In the usual form there is nothing to normalize.
        if let Some(field) = self.known.iter().find(|field| is_same(&field.name, name)) {
            return Some(Sorted::Known {
                id: field.id,
                is_owned: field.is_owned,
            });
        }
        self.known
            .iter()
            .any(|field| field.is_guarded && is_spelling(name, &field.name))
            .then_some(Sorted::Spelling)
    }

    /// Whether a trailer with this name must not reach the upstream: servers that add trailers to the headers
    /// would treat it as a checked header.
    #[must_use]
    pub fn removes_trailer(&self, name: &[u8]) -> bool {
        !self.removes_nothing
            && match self.sort(name) {
                None => false,
                Some(Sorted::Known { .. }) => true,
                Some(Sorted::Spelling) => self.action != SpellingAction::Allow,
            }
    }
}

fn length_bit(name: &[u8]) -> u64 {
    1 << (name.len() % 64)
}

/// Whether servers may take one name for the other: they differ only in characters that are neither letters
/// nor digits.
fn is_spelling(name: &[u8], known: &[u8]) -> bool {
    let fold = |byte: &u8| match byte.is_ascii_alphanumeric() {
        true => byte.to_ascii_lowercase(),
        false => b'_',
    };
    name.len() == known.len()
        && name
            .iter()
            .zip(known)
            .all(|(one, other)| fold(one) == fold(other))
}

/// The values of the wanted fields, in the order of the request; a field that is there twice has two.
///
/// All text of a request is kept in one piece, and an emptied head keeps its room: a worker fills the same head for
/// each request, and allocates no memory for it.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    text: Vec<u8>,
    values: Vec<(FieldId, Span)>,
    removed: Vec<Span>,
    /// Whether its first `content-type` is gRPC's; `None`: it has none, or not all of its fields were taken.
    pub is_grpc: Option<bool>,
    /// The request has a header in another spelling of one of the configuration's names, and the
    /// configuration refuses such requests.
    pub is_misspelt: bool,
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
const KEPT_ROOM: usize = 4096;

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
            is_misspelt,
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
        (*is_grpc, *is_misspelt) = (None, false);
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
            Some(Sorted::Spelling) => {
                self.is_misspelt |= fields.action == SpellingAction::RejectRequest;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(action: SpellingAction) -> (HeaderFields, FieldId) {
        let mut wanted = WantedFields::default();
        let token = wanted.id("x-token");
        wanted.id(":path");
        wanted.id("authorization");
        (
            HeaderFields::new(&wanted, ["x-jwt-sub", "user", "x_jwt_id"].iter(), action),
            token,
        )
    }

    fn taken(names: &[&str], action: SpellingAction) -> RequestHead {
        let mut head = RequestHead::new();
        for name in names {
            head.take(&fields(action).0, name.as_bytes(), b"v");
        }
        head
    }

    fn removed(names: &[&str], action: SpellingAction) -> Vec<String> {
        let head = taken(names, action);
        let text = |name: &[u8]| String::from_utf8(name.to_vec()).unwrap();
        head.removed().map(text).collect()
    }

    #[test]
    fn owned_names_are_removed_in_every_spelling() {
        let spellings = [
            "x-jwt-sub",
            "x_jwt_sub",
            "x-jwt_sub",
            "x.jwt.sub",
            "x~jwt!sub",
            "X_Jwt_Sub",
            "user",
            "x-jwt-id",
            "x_jwt_id",
        ];
        assert_eq!(removed(&spellings, SpellingAction::DropHeader), spellings);
        let others = [
            "x-jwt-sub2",
            "xx-jwt-sub",
            "x-jwtasub",
            "xjwt-sub",
            "users",
            "",
            "_path",
            "-path",
        ];
        assert_eq!(removed(&others, SpellingAction::DropHeader), Vec::<String>::new());
        assert_eq!(removed(&["user", "user"], SpellingAction::DropHeader), ["user"]);
    }

    #[test]
    fn spellings_of_fields_that_are_read_never_pass_for_them() {
        let (known, token) = fields(SpellingAction::DropHeader);
        let mut head = RequestHead::new();
        head.take(&known, b"x_token", b"a");
        head.take(&known, b"x-token", b"b");
        assert_eq!(head.all(token).collect::<Vec<_>>(), [b"b"]);
        assert_eq!(
            removed(
                &["x_token", "x-token", "authorization"],
                SpellingAction::DropHeader
            ),
            ["x_token"]
        );
    }

    #[test]
    fn the_operator_may_refuse_or_allow_them() {
        let names = ["x_token", "x_jwt_sub", "x-jwt-sub"];
        assert_eq!(removed(&names, SpellingAction::Allow), ["x-jwt-sub"]);
        assert!(!taken(&names, SpellingAction::Allow).is_misspelt);
        assert!(!taken(&names, SpellingAction::DropHeader).is_misspelt);
        assert!(taken(&["x.token"], SpellingAction::RejectRequest).is_misspelt);
        assert!(!taken(&["x-token", "x-jwt-sub"], SpellingAction::RejectRequest).is_misspelt);
    }

    #[test]
    fn nothing_is_removed_where_nothing_may_be() {
        let known = fields(SpellingAction::DropHeader).0.without_removals();
        let mut head = RequestHead::new();
        for name in ["x-jwt-sub", "x_token", "x-token"] {
            head.take(&known, name.as_bytes(), b"v");
            assert!(!known.removes_trailer(name.as_bytes()), "{name}");
        }
        assert_eq!(head.removed().count(), 0);
        // Another spelling is no better for that.
        assert_eq!(head.all(fields(SpellingAction::DropHeader).1).count(), 1);
    }

    #[test]
    fn an_emptied_head_has_nothing_of_the_request_before() {
        let (known, token) = fields(SpellingAction::RejectRequest);
        let mut head = RequestHead::new();
        head.take(&known, b"x-token", &[b'a'; 10_000]);
        head.take(&known, b"x-jwt-sub", b"b");
        head.take(&known, b"x_token", b"c");
        head.take(&known, b"content-type", b"application/grpc");
        head.route_requirement = Some(Vec::new());
        head.further_routes.push(None);
        head.filter_state = Some(Vec::new());
        head.peer_certificate = Some(Vec::new());
        head.source_address = Some(Vec::new());
        head.clear();
        assert_eq!(format!("{head:?}"), format!("{:?}", RequestHead::new()));
        assert_eq!(head.bytes(), 0);
        assert!(head.text.capacity() <= KEPT_ROOM);
        head.take(&known, b"x-token", b"d");
        assert_eq!(head.all(token).collect::<Vec<_>>(), [b"d"]);
    }

    #[test]
    fn the_first_content_type_tells_who_speaks_grpc() {
        let is_grpc = |owned: &[&str], values: &[&str]| {
            let mut wanted = WantedFields::default();
            wanted.id("x-token");
            let known = HeaderFields::new(&wanted, owned.iter(), SpellingAction::DropHeader);
            let mut head = RequestHead::new();
            for value in values {
                head.take(&known, b"content-type", value.as_bytes());
            }
            head.is_grpc
        };
        assert_eq!(is_grpc(&[], &[]), None);
        assert_eq!(is_grpc(&[], &["application/grpc+proto", "text/html"]), Some(true));
        assert_eq!(is_grpc(&[], &["text/html", "application/grpc"]), Some(false));
        // What is taken away from the request says nothing.
        assert_eq!(is_grpc(&["content-type"], &["application/grpc"]), None);
    }

    #[test]
    fn trailers_of_all_of_these_names_are_removed() {
        let (known, _) = fields(SpellingAction::DropHeader);
        for name in ["x-jwt-sub", "x_jwt_sub", "x-token", "X.Token", "authorization"] {
            assert!(known.removes_trailer(name.as_bytes()), "{name}");
        }
        for name in ["grpc-status", "x-other", "_path"] {
            assert!(!known.removes_trailer(name.as_bytes()), "{name}");
        }
        assert!(!fields(SpellingAction::Allow).0.removes_trailer(b"x_token"));
        assert!(fields(SpellingAction::Allow).0.removes_trailer(b"x-token"));
    }
}
