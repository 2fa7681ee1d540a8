//! A fault of the operator: its place in the configuration, the fault, and the likely correction.

use std::cell::RefCell;
use std::fmt::{self, Write as _};

/// The reason for which the filter refuses a configuration. `Display` writes the operator's line in Envoy's
/// log, for this fault alone.
///
/// Always boxed: every step of reading returns one or a value, and moving an unboxed one at each step would
/// add 20 KB to the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The place: names of members and indexes, the outermost first, as in `rules[2].match.prefix`; empty for
    /// the whole configuration.
    pub path: String,
    /// The fault.
    pub problem: ConfigProblem,
    /// Further faults of the same configuration, in the order of its text: at most [`ConfigError::MOST`] in all.
    pub others: Vec<Self>,
    /// The number of faults beyond those.
    pub omitted: usize,
    /// The address of the faulty text, which gives the order of faults.
    pub(super) at: usize,
}

impl ConfigError {
    /// The most faults in one report.
    pub const MOST: usize = 20;

    /// This fault and the others.
    pub fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }

    /// A placeholder for a fault that is already one of the [`Faults`].
    pub(super) fn reported() -> Box<Self> {
        Box::new(Self {
            path: String::new(),
            problem: ConfigProblem::Invalid(String::new()),
            others: Vec::new(),
            omitted: 0,
            at: 0,
        })
    }

    fn is_reported(&self) -> bool {
        matches!(&self.problem, ConfigProblem::Invalid(what) if what.is_empty())
    }
}

/// The faults found so far, while the rest of the configuration is read.
#[derive(Debug, Default)]
pub(super) struct Faults {
    found: RefCell<Vec<ConfigError>>,
    homes: &'static [Home],
}

/// The names of an object's fields, and the place of the object in words.
pub(super) type Home = (&'static [&'static str], &'static str);

impl Faults {
    /// No fault yet, in a configuration with these objects.
    pub(super) fn new(homes: &'static [Home]) -> Self {
        Self {
            found: RefCell::default(),
            homes,
        }
    }

    /// The place where a field of this name belongs.
    pub(super) fn home(&self, name: &str) -> Option<&'static str> {
        let found = self.homes.iter().find(|(fields, _)| fields.contains(&name));
        found.map(|(_, home)| *home)
    }

    #[allow(clippy::boxed_local, reason = "as every reader returns it")]
    pub(super) fn add(&self, fault: Box<ConfigError>) {
        if !fault.is_reported() {
            self.found.borrow_mut().push(*fault);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.found.borrow().len()
    }

    /// All faults as one error, if there are any.
    pub(super) fn into_error(self) -> Option<Box<ConfigError>> {
        let mut all = self.found.into_inner();
        all.sort_by_key(|fault| fault.at);
        let omitted = all.len().saturating_sub(ConfigError::MOST);
        all.truncate(ConfigError::MOST);
        let others = all.split_off(all.len().min(1));
        let first = all.pop()?;
        Some(Box::new(ConfigError {
            others,
            omitted,
            ..first
        }))
    }
}

/// What is wrong at a place of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigProblem {
    /// The text is not a JSON object that the filter can read, for this reason.
    NotJson(&'static str),
    /// There is no such field. The nearest known name is given if one is similar.
    UnknownField {
        /// The name as written.
        name: String,
        /// The name that was probably meant.
        nearest: Option<&'static str>,
        /// The place where a field of this name belongs.
        home: Option<&'static str>,
        /// All known names.
        known: &'static [&'static str],
    },
    /// The same field twice, in its two spellings.
    GivenTwice,
    /// A required field is absent.
    Missing {
        /// The field.
        field: &'static str,
        /// The text to write.
        fix: &'static str,
    },
    /// A value of another type.
    WrongType {
        /// The expected type.
        expected: &'static str,
        /// The actual type.
        found: &'static str,
        /// An example of the field, to copy.
        form: Option<&'static str>,
    },
    /// A name without a definition.
    Dangling {
        /// The kind of the thing that it should name.
        kind: &'static str,
        /// The name as written.
        name: String,
        /// The nearest defined name, if one is similar.
        nearest: Option<String>,
        /// All that exist.
        known: Vec<String>,
    },
    /// A value that is not one of the allowed ones.
    NotOneOf {
        /// The value as written.
        value: String,
        /// The nearest allowed value, if one is similar.
        nearest: Option<&'static str>,
        /// The allowed values.
        allowed: Vec<&'static str>,
    },
    /// A value that cannot work: the fault, and the correction.
    Invalid(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let f = &mut OneLine(f);
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.problem)
    }
}

/// Writes the operator's text on one line of the log.
struct OneLine<'f, 'b>(&'f mut fmt::Formatter<'b>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|letter| match letter.is_control() {
            true => write!(self.0, "\\x{:02x}", u32::from(letter)),
            false => self.0.write_char(letter),
        })
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(why) => write!(f, "the configuration is not a JSON object: {why}"),
            Self::UnknownField {
                name,
                nearest: Some(nearest),
                ..
            } => {
                write!(f, "unknown field `{name}`; did you mean `{nearest}`?")
            }
            Self::UnknownField {
                name,
                nearest: None,
                home,
                known,
            } => {
                write!(f, "unknown field `{name}`")?;
                // A longer list would hide the fault.
                if let Some(home) = home {
                    write!(f, "; it belongs {home}")
                } else if known.is_empty() {
                    f.write_str("; this object has no fields")
                } else if known.len() <= 14 {
                    write!(f, "; known are: {}", known.join(", "))
                } else {
                    Ok(())
                }
            }
            Self::GivenTwice => write!(f, "given twice, in snake_case and in lowerCamelCase"),
            Self::Missing { field, fix } => write!(f, "`{field}` is missing; {fix}"),
            Self::WrongType {
                expected,
                found,
                form,
            } => {
                write!(f, "expected {expected}, found {found}")?;
                form.map_or(Ok(()), |form| write!(f, "; write it as in {form}"))
            }
            Self::Dangling {
                kind,
                name,
                nearest: Some(nearest),
                ..
            } => {
                write!(f, "no {kind} is named `{name}`; did you mean `{nearest}`?")
            }
            Self::Dangling {
                kind,
                name,
                nearest: None,
                known,
            } => {
                write!(f, "no {kind} is named `{name}`; ")?;
                if known.is_empty() {
                    f.write_str("there are none")
                } else {
                    write!(f, "there are: {}", known.join(", "))
                }
            }
            Self::NotOneOf {
                value,
                nearest: Some(nearest),
                ..
            } => {
                write!(f, "`{value}` is not allowed here; did you mean `{nearest}`?")
            }
            Self::NotOneOf {
                value,
                nearest: None,
                allowed,
            } => {
                write!(
                    f,
                    "`{value}` is not allowed here; allowed are: {}",
                    allowed.join(", ")
                )
            }
            Self::Invalid(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Words for fields that have another name here: the word, the field, and the advice.
const MEANT: &[(&str, &str, &str)] = &[
    ("value", "equals", "equals"),
    ("values", "any_of", "any_of"),
    ("in", "any_of", "any_of"),
    ("not", "invert", "invert: true"),
    ("safe_regex", "regex", "regex"),
    ("shadow", "mode", "mode: shadow"),
    ("dry_run", "mode", "mode: shadow"),
];

/// The advice for fields of other products, and for fields of this filter in a wrong place: the field, a
/// known field of the place where it was written, and the advice.
const ADVICE: &[(&str, &str, &str)] = &[
    ("@type", "", "leave it out"),
    (
        "jwtRules",
        "providers",
        "each of its entries is one of `providers`",
    ),
    (
        "jwt_rules",
        "providers",
        "each of its entries is one of `providers`",
    ),
    ("jwksUri", "issuer", REMOTE),
    ("jwks_uri", "issuer", REMOTE),
    ("jwks_url", "issuer", REMOTE),
    ("jwks", "issuer", "write `local_jwks: {inline_string: …}`"),
    ("leeway", "issuer", "write `clock_skew_seconds`"),
    ("outputClaimToHeaders", "issuer", CLAIM_TO_HEADERS),
    ("output_claim_to_headers", "issuer", CLAIM_TO_HEADERS),
    (
        "outputPayloadToHeader",
        "issuer",
        "write `forward_payload_header`",
    ),
    (
        "output_payload_to_header",
        "issuer",
        "write `forward_payload_header`",
    ),
    ("forwardOriginalToken", "issuer", "write `forward: true`"),
    ("forward_original_token", "issuer", "write `forward: true`"),
    ("cache_duration", "remote_jwks", "it belongs in `remote_jwks`"),
    ("cacheDuration", "remote_jwks", "it belongs in `remote_jwks`"),
    (
        "uri",
        "http_uri",
        "it belongs in `http_uri`: `http_uri: {uri: …, cluster: …}`",
    ),
    (
        "cluster",
        "http_uri",
        "it belongs in `http_uri`: `http_uri: {uri: …, cluster: …}`",
    ),
    (
        "uri",
        "inline_string",
        "to fetch keys, write `remote_jwks: {http_uri: {uri: …, cluster: …}}`",
    ),
    (
        "paths",
        "prefix",
        "write a rule for each path, with `path` or `prefix`",
    ),
    (
        "providers",
        "provider_name",
        "write `provider_name`, or `requires_any: {requirements: [{provider_name: …}]}`",
    ),
    (
        "scopes",
        "provider_name",
        "write it in the rule's `authorize`, beside `requires`",
    ),
    (
        "claims",
        "provider_name",
        "write it in the rule's `authorize`, beside `requires`",
    ),
];

const REMOTE: &str = "write `remote_jwks: {http_uri: {uri: …, cluster: …}}`";
const CLAIM_TO_HEADERS: &str = "write `claim_to_headers: [{claim_name: …, header_name: …}]`";

/// The advice for a field that has another name or another place here.
pub(super) fn advice(name: &str, known: &[&'static str]) -> Option<&'static str> {
    ADVICE
        .iter()
        .find(|(field, beside, _)| *field == name && (beside.is_empty() || known.contains(beside)))
        .map(|(_, _, advice)| *advice)
}

/// The field that an unknown field was probably meant to be.
pub(super) fn meant(name: &str, known: &[&'static str]) -> Option<&'static str> {
    MEANT
        .iter()
        .find(|(word, field, _)| *word == name && known.contains(field))
        .map(|(_, _, meant)| *meant)
        .or_else(|| nearest(name, known))
}

/// An example of a field, by its name, for a value of a wrong type.
const FORMS: &[(&str, &str)] = &[
    (".binding", "{mtls: required}, or `off`"),
    (".claim_path", "[{key: realm_access}, {key: roles}]"),
    (".claim_to_headers", "[{claim_name: sub, header_name: x-jwt-sub}]"),
    (".claims", "[{claim_name: role, any_of: [admin]}]"),
    (".discovery", "{cluster: idp}"),
    (".dpop", "{required: true}"),
    (
        ".equals_request",
        "{path_template: \"/tenants/{tenant}/**\", variable: tenant}",
    ),
    (".from_headers", "[{name: x-token}]"),
    (".match", "{prefix: /}"),
    (
        ".provider_name",
        "corp; for several, `requires_any: {requirements: [{provider_name: corp}]}`",
    ),
    (".requires", "{provider_name: corp}"),
    (".requires_all", "{requirements: [{provider_name: corp}]}"),
    (".requires_any", "{requirements: [{provider_name: corp}]}"),
    (".safe_regex", "{regex: \"a.*\"}"),
    (".scopes", "{all: [orders:read]}"),
];

/// The form of the field at this path, if it is known.
pub(super) fn form(path: &str) -> Option<&'static str> {
    let field = path.trim_end_matches(|letter: char| !letter.is_ascii_lowercase());
    FORMS
        .iter()
        .find(|(name, _)| field.ends_with(name))
        .map(|(_, form)| *form)
}

/// The candidate that a misspelt name probably means: at most a third of its letters differ, or it is a part
/// of the candidate, as `prefix` is of `value_prefix`.
pub(super) fn nearest<'c>(name: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let name = name.to_ascii_lowercase();
    let allowed = name.chars().count().div_ceil(3).max(1);
    let misspelt = candidates
        .iter()
        .map(|candidate| {
            (
                strsim::osa_distance(&name, &candidate.to_ascii_lowercase()),
                *candidate,
            )
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate);
    misspelt.or_else(|| {
        let words = format!("_{name}_");
        candidates
            .iter()
            .copied()
            .filter(|candidate| name.len() > 2 && format!("_{candidate}_").contains(&words))
            .min_by_key(|candidate| candidate.len())
    })
}
