//! Objects and words that a provider, a rule and the whole configuration share.

use crate::config::field::{Flag, Form, Name, Strings, Text, object};
use crate::policy::Mode;

/// The most providers.
pub(in crate::config) const MAX_PROVIDERS: usize = 1000;

/// The most rules.
pub(in crate::config) const MAX_RULES: usize = 10_000;

/// The most spellings of one issuer.
pub(in crate::config) const MAX_SPELLINGS: usize = 8;

/// The most variables of an issuer. None needs more.
pub(in crate::config) const MAX_VARIABLES: usize = 8;

/// `mode`.
pub(in crate::config) const MODES: &[(&str, Mode)] = &[
    ("enforce", Mode::Enforce),
    ("shadow", Mode::Shadow { percent: 100 }),
];

object! {
    /// `protected_resource`.
    ProtectedResourceObject at "protected_resource" {
        /// the identifier of the resource
        resource: Form = Form, values "an https URL";
        /// the filter builds the identifier from the host of the request
        resource_from_host: Flag = Flag;
        /// the path of the identifier, [canonical](#canonical-paths); only with `resource_from_host`
        resource_path: Form = Form, values "begins with `/`";
        /// overrides the providers' issuers
        authorization_servers: Strings = Strings, default "[]", values "http or https URLs";
        /// `scopes_supported` in the metadata
        scopes_supported: Strings = Strings, default "[]";
        /// `resource_name` in the metadata
        resource_name: Name = Name;
        /// `resource_documentation` in the metadata
        resource_documentation: Form = Form, values "an http or https URL";
    }
    relations [
        one([present(Self::resource.name), yes(Self::resource_from_host.name)]),
        needs(present(Self::resource_path.name), [yes(Self::resource_from_host.name)]),
    ]
}

object! {
    /// `providers.<name>.claim_to_headers[].claim_path[]`.
    ClaimStepObject at "providers.<name>.claim_to_headers[].claim_path[]" {
        /// the literal name of a member
        key: Text = Text, required "write the member's name";
    }
}
