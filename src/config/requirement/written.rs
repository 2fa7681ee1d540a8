//! The fields of a requirement, of which it has one, and the fields that may accompany it.

use crate::config::error::ConfigError;
use crate::config::field::Reader as _;
use crate::config::fields::RuleObject;
use crate::config::node::Node;
use crate::policy::Mode;

/// The fields that may accompany a requirement.
#[derive(Clone, Copy)]
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
        forms!($fields, $object:
            Provider provider_name,
            ProviderAndAudiences provider_and_audiences,
            Any requires_any,
            All requires_all,
            AllowMissing allow_missing,
            AllowMissingOrFailed allow_missing_or_failed,
            Unverified extract_only_without_validation,
        )
    };
    ($fields:expr, $object:ident: $($form:ident $field:ident,)*) => {
        [$((Form::$form, $object::$field.name, $fields.get($object::$field))),*]
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
