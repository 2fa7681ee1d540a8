//! The fields that the configuration names, and the spellings of their names.

use crate::bytes::is_same;
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

    /// The name of a field.
    #[must_use]
    pub fn name(&self, id: FieldId) -> Option<&str> {
        self.0.get(id.index()).map(|name| &**name)
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
    pub(super) action: SpellingAction,
    /// Nothing is removed.
    pub(super) removes_nothing: bool,
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
pub(super) enum Sorted {
    /// One of the names, as in the configuration.
    Known { id: Option<FieldId>, is_owned: bool },
    /// Another spelling of one: its position among the names.
    Spelling(usize),
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

    pub(super) fn sort(&self, name: &[u8]) -> Option<Sorted> {
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
            .position(|field| field.is_guarded && is_spelling(name, &field.name))
            .map(Sorted::Spelling)
    }

    /// The name at this position.
    #[must_use]
    pub fn name(&self, position: usize) -> &str {
        let field = self.known.get(position);
        field.map_or("", |field| std::str::from_utf8(&field.name).unwrap_or_default())
    }

    /// Whether a host that has read all fields of a request, and has removed [`RequestHead::removed`], has
    /// left no field of this name.
    ///
    /// [`RequestHead::removed`]: super::RequestHead::removed
    #[must_use]
    pub fn removes(&self, name: &[u8]) -> bool {
        !self.removes_nothing && matches!(self.sort(name), Some(Sorted::Known { is_owned: true, .. }))
    }

    /// Whether a trailer with this name must not reach the upstream: servers that add trailers to the headers
    /// would treat it as a checked header.
    #[must_use]
    pub fn removes_trailer(&self, name: &[u8]) -> bool {
        !self.removes_nothing
            && match self.sort(name) {
                None => false,
                Some(Sorted::Known { .. }) => true,
                Some(Sorted::Spelling(_)) => self.action != SpellingAction::Allow,
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
