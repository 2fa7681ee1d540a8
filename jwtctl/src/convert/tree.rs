//! Values of the configuration that a conversion writes.

use crate::source::{Key, Node, Place, Value, snake_case};

/// A text from this place.
pub(crate) fn text(text: impl Into<String>, place: &Place) -> Node {
    Node::new(Value::Text(text.into()), place.clone())
}

/// A truth value that the conversion adds.
pub(crate) fn flag(value: bool) -> Node {
    Node::new(Value::Bool(value), 0..0)
}

/// A list, at the place of its first element.
pub(crate) fn list(elements: Vec<Node>) -> Node {
    let place = elements.first().map_or(0..0, |first| first.place.clone());
    let mut elements = elements;
    for (position, element) in elements.iter_mut().enumerate() {
        element.index = position;
    }
    Node::new(Value::List(elements), place)
}

/// An object, at the place of its first member.
pub(crate) fn map(members: Vec<(&str, Node)>) -> Node {
    let place = members.first().map_or(0..0, |(_, first)| first.place.clone());
    let members = members
        .into_iter()
        .map(|(name, node)| member(name, node))
        .collect();
    Node::new(Value::Map(members), place)
}

/// A member of an object, at the place of its value.
pub(crate) fn member(name: &str, node: Node) -> (Key, Node) {
    let key = Key {
        name: name.to_owned(),
        place: node.place.clone(),
    };
    (key, node)
}

/// Adds or replaces a member.
pub(crate) fn set(node: &mut Node, name: &str, value: Node) {
    let Value::Map(members) = &mut node.value else {
        return;
    };
    let found = members.iter_mut().find(|(key, _)| snake_case(&key.name) == name);
    match found {
        Some(found) => *found = member(name, value),
        None => members.push(member(name, value)),
    }
}
