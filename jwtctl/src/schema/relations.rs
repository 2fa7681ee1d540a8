//! What the fields of an object say about each other, in the words of JSON Schema.

use serde_json::{Map, Value, json};

use super::spelling;
use crate::core::{Given, Relation};

/// The schema of an object that obeys the relation.
pub(super) fn schema(relation: &Relation) -> Value {
    match relation {
        Relation::One(all) => json!({"oneOf": each(all)}),
        Relation::AtMostOne(all) => {
            let mut choices = each(all);
            choices.push(none(all));
            json!({"oneOf": choices})
        }
        Relation::Some(all) => json!({"anyOf": each(all)}),
        Relation::Needs(first, others) => json!({"if": given(first), "then": {"anyOf": each(others)}}),
        Relation::Without(first, others) => json!({"if": given(first), "then": none(others)}),
        Relation::Never(never) => none(std::slice::from_ref(never)),
        Relation::Count(name, least, most) => {
            let mut bounds = Map::new();
            for (keyword, bound) in [("min", Some(least)), ("max", most.as_ref())] {
                let Some(bound) = bound else { continue };
                bounds.insert(format!("{keyword}Items"), (*bound).into());
                bounds.insert(format!("{keyword}Properties"), (*bound).into());
            }
            let properties: Map<String, Value> = spelling::both(name)
                .into_iter()
                .map(|name| (name, bounds.clone().into()))
                .collect();
            json!({"properties": properties})
        }
    }
}

fn each(all: &[Given]) -> Vec<Value> {
    all.iter().map(given).collect()
}

fn none(all: &[Given]) -> Value {
    json!({"not": {"anyOf": each(all)}})
}

/// The schema of an object of which this is true.
fn given(given: &Given) -> Value {
    match given {
        // `null` counts as an absent field.
        Given::Present(name) => member(name, &json!({"not": {"type": "null"}})),
        Given::Filled(name) => member(
            name,
            &json!({"not": {"type": "null"}, "minProperties": 1, "minItems": 1, "minLength": 1}),
        ),
        Given::True(name) => member(name, &json!({"const": true})),
        Given::On(name) => member(name, &json!({"anyOf": [{"const": true}, {"type": "object"}]})),
        Given::Word(name, words) => member(name, &json!({"enum": words})),
        Given::Within(name, inner) => member(name, &self::given(inner)),
        Given::Among(name, inner) => {
            let inner = self::given(inner);
            member(
                name,
                &json!({"anyOf": [
                    {"type": "array", "contains": inner},
                    {"type": "object", "not": {"additionalProperties": {"not": inner}}},
                ]}),
            )
        }
        Given::Empty => json!({"type": "object", "maxProperties": 0}),
    }
}

/// The schema of an object with this member, in either spelling.
fn member(name: &str, value: &Value) -> Value {
    let mut choices: Vec<Value> = spelling::both(name)
        .into_iter()
        .map(|name| {
            let required = [&name];
            json!({"required": required, "properties": {&name: value}})
        })
        .collect();
    match choices.len() {
        1 => choices.remove(0),
        _ => json!({"anyOf": choices}),
    }
}
