//! The configuration of one route, virtual host or route configuration (`typed_per_filter_config`):
//! jwt_authn's `PerRouteConfig`.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, PoisonError, RwLock};

use proxy_wasm_jwt::json::Object;

/// The route's settings for its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RouteConfig {
    /// The requests have to meet this entry of `requirement_map`.
    Requirement(Box<str>),
    /// The requests need no token.
    Disabled,
}

/// The configuration that applies to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// Its route has none of its own.
    None,
    Known(Arc<RouteConfig>),
    /// Another module has made it, or another file with this module: Envoy does not compare the modules.
    Foreign,
}

impl Applied {
    /// The entry of `requirement_map` that the requests have to meet. The configuration of another module has
    /// an empty name, which no entry has: its requests are refused.
    pub(crate) fn requirement_name(&self) -> Option<Vec<u8>> {
        match self {
            Self::None => None,
            Self::Known(config) => match &**config {
                RouteConfig::Requirement(name) => Some(name.as_bytes().to_vec()),
                RouteConfig::Disabled => None,
            },
            Self::Foreign => Some(Vec::new()),
        }
    }
}

/// The configurations in use, by their numbers. Envoy takes a number for a pointer and hands it out with each
/// request, but also hands out the pointers of other modules. The module reads no memory behind either.
static IN_USE: RwLock<BTreeMap<NonZeroUsize, Arc<RouteConfig>>> = RwLock::new(BTreeMap::new());

/// Keeps a configuration, and returns its number: the address of memory that nothing else uses meanwhile.
pub(crate) fn keep(config: RouteConfig) -> Option<NonZeroUsize> {
    let config = Arc::new(config);
    let number = NonZeroUsize::new(Arc::as_ptr(&config).addr())?;
    let mut in_use = IN_USE.write().unwrap_or_else(PoisonError::into_inner);
    in_use.insert(number, config);
    Some(number)
}

/// The configuration with this number.
pub(crate) fn find(number: NonZeroUsize) -> Applied {
    let in_use = IN_USE.read().unwrap_or_else(PoisonError::into_inner);
    in_use
        .get(&number)
        .map_or(Applied::Foreign, |config| Applied::Known(config.clone()))
}

/// Envoy has removed the configuration with this number.
pub(crate) fn forget(number: NonZeroUsize) {
    let mut in_use = IN_USE.write().unwrap_or_else(PoisonError::into_inner);
    in_use.remove(&number);
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
    fn a_number_is_that_of_a_configuration_in_use() {
        let config = RouteConfig::Requirement("admins".into());
        let number = keep(config.clone()).expect("a number");
        assert_eq!(find(number), Applied::Known(Arc::new(config)));
        let other = keep(RouteConfig::Disabled).expect("a number");
        assert_ne!(number, other);
        forget(number);
        assert_eq!(find(number), Applied::Foreign);
        assert_eq!(find(NonZeroUsize::MIN), Applied::Foreign);
        assert_eq!(find(other), Applied::Known(Arc::new(RouteConfig::Disabled)));
    }

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
