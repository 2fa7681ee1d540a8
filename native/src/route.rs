//! The configuration of one route, virtual host or route configuration (`typed_per_filter_config`):
//! jwt_authn's `PerRouteConfig`.

use proxy_wasm_jwt::json::Object;

/// The route's settings for its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RouteConfig {
    /// The requests have to meet this entry of `requirement_map`.
    Requirement(Box<str>),
    /// The requests need no token.
    Disabled,
}

impl RouteConfig {
    /// Reads the settings. Exactly one of the two members must be present: a route without an effect is a
    /// mistake.
    ///
    /// # Errors
    ///
    /// Fails with the fault, in words.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        let object = Object::parse(text).map_err(|error| format!("it is no JSON object: {error:?}"))?;
        let mut found = None;
        for (name, value) in object.members() {
            let read = match name {
                "requirement_name" | "requirementName" => value
                    .as_str()
                    .filter(|text| !text.is_empty())
                    .map(|text| Self::Requirement(text.into())),
                "disabled" => (value.as_bool() == Some(true)).then_some(Self::Disabled),
                _ => return Err(format!("`{}` is not a field", name.escape_debug())),
            };
            let read = read.ok_or_else(|| match name {
                "disabled" => "`disabled` may only be true".to_owned(),
                _ => format!("`{name}` must be the name of an entry of `requirement_map`"),
            })?;
            if found.replace(read).is_some() {
                return Err("`requirement_name` and `disabled` exclude each other".to_owned());
            }
        }
        found.ok_or_else(|| "write `requirement_name` or `disabled`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_says_one_thing() {
        let requirement = RouteConfig::Requirement("admins".into());
        for (text, expected) in [
            (r#"{"requirement_name": "admins"}"#, Some(requirement.clone())),
            (r#"{"requirementName": "admins"}"#, Some(requirement)),
            (r#"{"disabled": true}"#, Some(RouteConfig::Disabled)),
            (r#"{"disabled": false}"#, None),
            (r#"{"disabled": "true"}"#, None),
            (r#"{"requirement_name": ""}"#, None),
            (r#"{"requirement_name": 1}"#, None),
            (r#"{"requirement_name": "a", "disabled": true}"#, None),
            (r#"{"requirement": "a"}"#, None),
            ("{}", None),
            ("", None),
            ("[]", None),
        ] {
            assert_eq!(RouteConfig::parse(text.as_bytes()).ok(), expected, "{text}");
        }
    }
}
