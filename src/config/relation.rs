//! What the fields of an object say about each other, as data for tools. The module does not contain it: in
//! it, the readers of the objects check the same. A test of `jwtctl schema` compares both.

/// A rule about several fields of one object, or about the number of a field's elements.
#[derive(Clone, Debug)]
pub enum Relation {
    /// Exactly one of these is true.
    One(Vec<Given>),
    /// At most one of these is true.
    AtMostOne(Vec<Given>),
    /// At least one of these is true.
    Some(Vec<Given>),
    /// If the first is true, one of the others is.
    Needs(Given, Vec<Given>),
    /// If the first is true, none of the others is.
    Without(Given, Vec<Given>),
    /// This is not true.
    Never(Given),
    /// A list or a map has at least and at most so many elements; one text counts as a list of it.
    Count(&'static str, usize, Option<usize>),
}

/// Something that may be true of an object.
#[derive(Clone, Debug)]
pub enum Given {
    /// The field is there, and is not `null`.
    Present(&'static str),
    /// The field has an element, a member or a letter.
    Filled(&'static str),
    /// The field is `true`.
    True(&'static str),
    /// The field is `true` or an object.
    On(&'static str),
    /// The field is one of these words.
    Word(&'static str, Vec<&'static str>),
    /// This is true of the object in the field.
    Within(&'static str, Box<Self>),
    /// This is true of an object in the field, which is a list or a map.
    Among(&'static str, Box<Self>),
    /// The object has no member.
    Empty,
}

/// [`Given::Present`].
pub(super) const fn present(field: &'static str) -> Given {
    Given::Present(field)
}

/// [`Given::Filled`].
pub(super) const fn filled(field: &'static str) -> Given {
    Given::Filled(field)
}

/// [`Given::True`].
pub(super) const fn yes(field: &'static str) -> Given {
    Given::True(field)
}

/// [`Given::On`].
pub(super) const fn on(field: &'static str) -> Given {
    Given::On(field)
}

/// [`Given::Word`].
pub(super) fn word<const N: usize>(field: &'static str, words: [&'static str; N]) -> Given {
    Given::Word(field, words.into())
}

/// [`Given::Within`].
pub(super) fn within(field: &'static str, inner: Given) -> Given {
    Given::Within(field, Box::new(inner))
}

/// [`Given::Among`].
pub(super) fn among(field: &'static str, inner: Given) -> Given {
    Given::Among(field, Box::new(inner))
}

/// [`Relation::One`].
pub(super) fn one<const N: usize>(all: [Given; N]) -> Relation {
    Relation::One(all.into())
}

/// [`Relation::AtMostOne`].
pub(super) fn at_most_one<const N: usize>(all: [Given; N]) -> Relation {
    Relation::AtMostOne(all.into())
}

/// [`Relation::Some`].
pub(super) fn some<const N: usize>(all: [Given; N]) -> Relation {
    Relation::Some(all.into())
}

/// [`Relation::Needs`].
pub(super) fn needs<const N: usize>(first: Given, others: [Given; N]) -> Relation {
    Relation::Needs(first, others.into())
}

/// [`Relation::Without`].
pub(super) fn without<const N: usize>(first: Given, others: [Given; N]) -> Relation {
    Relation::Without(first, others.into())
}

/// [`Relation::Never`].
pub(super) const fn never(given: Given) -> Relation {
    Relation::Never(given)
}

/// [`Relation::Count`].
pub(super) const fn count(field: &'static str, least: usize, most: Option<usize>) -> Relation {
    Relation::Count(field, least, most)
}
