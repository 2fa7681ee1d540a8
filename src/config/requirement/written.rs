//! The fields of a requirement, of which it has one, and the fields that may accompany it.

use crate::config::error::ConfigError;
use crate::config::field::Reader as _;
use crate::config::fields::RuleObject;
use crate::config::node::Node;
use crate::policy::Mode;

/// The fields that may accompany a requirement.
pub(super) struct Beside<'f, 'n> {
    pub(super) authorize: Option<&'f Node<'n>>,
    pub(super) mode: Option<&'f Node<'n>>,
    pub(super) shadow_percent: Option<&'f Node<'n>>,
    pub(super) resource: Option<&'f Node<'n>>,
}

/// The settings of an object beside its requirement.
macro_rules! beside {
    ($fields:expr, $object:ident) => {
        Beside {
            authorize: $fields.get($object::authorize),
            mode: $fields.get($object::mode),
            shadow_percent: $fields.get($object::shadow_percent),
            resource: $fields.get($object::protected_resource),
        }
    };
}

/// The forms of a requirement.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Provider,
    ProviderAndAudiences,
    Any,
    All,
    AllowMissing,
    AllowMissingOrFailed,
    Unverified,
}

/// The fields of which a requirement has one, with their names.
pub(super) type Forms<'f, 'n> = [(Form, &'static str, Option<&'f Node<'n>>); 7];

/// The fields of an object, of which a requirement has one.
macro_rules! forms {
    ($fields:expr, $object:ident) => {
        [
            (
                Form::Provider,
                $object::provider_name.name,
                $fields.get($object::provider_name),
            ),
            (
                Form::ProviderAndAudiences,
                $object::provider_and_audiences.name,
                $fields.get($object::provider_and_audiences),
            ),
            (
                Form::Any,
                $object::requires_any.name,
                $fields.get($object::requires_any),
            ),
            (
                Form::All,
                $object::requires_all.name,
                $fields.get($object::requires_all),
            ),
            (
                Form::AllowMissing,
                $object::allow_missing.name,
                $fields.get($object::allow_missing),
            ),
            (
                Form::AllowMissingOrFailed,
                $object::allow_missing_or_failed.name,
                $fields.get($object::allow_missing_or_failed),
            ),
            (
                Form::Unverified,
                $object::extract_only_without_validation.name,
                $fields.get($object::extract_only_without_validation),
            ),
        ]
    };
}

pub(super) use {beside, forms};

impl<'f, 'n> Beside<'f, 'n> {
    pub(super) fn any(self) -> Option<&'f Node<'n>> {
        self.authorize
            .or(self.mode)
            .or(self.shadow_percent)
            .or(self.resource)
    }
}

/// `mode` and `shadow_percent` of a rule or of the whole filter; `None` if neither is present.
pub(in crate::config) fn read_mode(
    mode: Option<&Node<'_>>,
    percent: Option<&Node<'_>>,
) -> Result<Option<Mode>, Box<ConfigError>> {
    let mode = mode.map(|node| RuleObject::mode.reader.read(node)).transpose()?;
    let Some(node) = percent else { return Ok(mode) };
    let percent = u8::try_from(RuleObject::shadow_percent.reader.read(node)?).unwrap_or(100);
    match mode {
        Some(Mode::Shadow { .. }) => Ok(Some(Mode::Shadow { percent })),
        _ => Err(node.lacks("needs `mode: shadow` beside it")),
    }
}
