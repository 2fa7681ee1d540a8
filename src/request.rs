//! A request's head, as far as the configuration needs it.
//!
//! The configuration says once which fields a decision reads ([`WantedFields`]); the host reads those and no others.

/// The number of a wanted field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldId(usize);

/// The fields that decisions read, in lower case, pseudo-fields such as `:path` included.
#[derive(Clone, Debug, Default)]
pub struct WantedFields(Vec<Box<str>>);

impl WantedFields {
    /// The number of the field of this name; from now on it is wanted.
    pub fn id(&mut self, name: &str) -> FieldId {
        if let Some(index) = self.0.iter().position(|known| **known == *name) {
            return FieldId(index);
        }
        self.0.push(name.into());
        FieldId(self.0.len().saturating_sub(1))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether decisions read none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields with their names.
    pub fn iter(&self) -> impl Iterator<Item = (FieldId, &str)> {
        self.0
            .iter()
            .enumerate()
            .map(|(index, name)| (FieldId(index), &**name))
    }

    /// The field of this name, if it is wanted.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<FieldId> {
        self.0
            .iter()
            .position(|known| known.as_bytes() == name)
            .map(FieldId)
    }
}

/// The values of the wanted fields, in the order of the request; a field that stands there twice has two.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    values: Vec<(FieldId, Vec<u8>)>,
    /// The requirement that the route's metadata names.
    pub route_requirement: Option<Vec<u8>>,
    /// The filter state that `filter_state_rules` ask for.
    pub filter_state: Option<Vec<u8>>,
    /// The SHA-256 of the client's certificate in hexadecimal digits, where a provider's tokens may be bound to it.
    pub peer_certificate: Option<Vec<u8>>,
    /// Where the request comes from, with its port, where a share of the clients is told apart by it.
    pub source_address: Option<Vec<u8>>,
}

impl RequestHead {
    /// An empty head, to be filled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with room for so many values.
    #[must_use]
    pub fn with_capacity(values: usize) -> Self {
        Self {
            values: Vec::with_capacity(values),
            ..Self::default()
        }
    }

    /// How many bytes are kept of it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let others = [
            &self.route_requirement,
            &self.filter_state,
            &self.peer_certificate,
            &self.source_address,
        ];
        let values = self.values.iter().map(|(_, value)| value.len());
        let others = others.into_iter().flatten().map(Vec::len);
        values.chain(others).fold(0, usize::saturating_add)
    }

    /// Adds a field's value, as bytes: nothing says that they are text.
    pub fn push(&mut self, field: FieldId, value: Vec<u8>) {
        self.values.push((field, value));
    }

    /// The field's first value.
    #[must_use]
    pub fn first(&self, field: FieldId) -> Option<&[u8]> {
        self.all(field).next()
    }

    /// The field's values.
    pub fn all(&self, field: FieldId) -> impl Iterator<Item = &[u8]> {
        self.values
            .iter()
            .filter(move |(id, _)| *id == field)
            .map(|(_, value)| value.as_slice())
    }
}
