//! Rules, requirements and conditions.

use super::matchers::MatchObject;
use super::shared::{ClaimStepObject, MODES, ProtectedResourceObject};
use crate::config::field::{
    Empty, Flag, Form, Name, Nested, OneOrSome, Or, Refused, Scalar, SomeForm, SomeNames, SomeOf,
    SomeScalars, SomeStrings, Strings, Whole, Word, object,
};
#[cfg(not(target_family = "wasm"))]
use crate::config::relation::{Given, present};
use crate::policy::Mode;

object! {
    /// `rules[]`.
    RuleObject at "rules[]" {
        /// the name of the rule in the access log, instead of `rules[<position>]`
        name: Name = Name;
        /// which requests the rule applies to; one element of a list has to match
        matcher as "match": OneOrSome<MatchObject> = OneOrSome::NEW, required "write which requests the rule is for, such as {prefix: /}";
        /// what these requests need; `{}`: no token
        requires: Nested<RequirementObject> = Nested::NEW, default "{}";
        /// the requirement by its name, instead of `requires`
        requirement_name: Form = Form, values "a name in `requirement_map`";
        /// [scopes and claims](#scopes-and-claims) that the token must have; only with a requirement
        authorize: Nested<AuthorizeObject> = Nested::NEW;
        /// `true`: the filter refuses these requests with 403 `route_denied`, whatever their tokens; instead
        /// of a requirement
        deny: Or<Flag> = Or(Flag, false);
        /// overrides the filter's `mode`; only with a requirement or `deny`
        mode: Word<Mode> = Word(MODES);
        /// with `mode: shadow`, as at the top level
        shadow_percent: Whole = Whole(0, 100);
        /// overrides the filter's `protected_resource`, in the same form; only with a requirement
        protected_resource: Nested<ProtectedResourceObject> = Nested::NEW;
    }
    relations [
        at_most_one([present(Self::requires.name), present(Self::requirement_name.name), yes(Self::deny.name)]),
        without(
            present(Self::requirement_name.name),
            [
                present(Self::authorize.name),
                present(Self::mode.name),
                present(Self::shadow_percent.name),
                present(Self::protected_resource.name),
            ],
        ),
        needs(present(Self::authorize.name), [filled(Self::requires.name)]),
        needs(present(Self::protected_resource.name), [filled(Self::requires.name)]),
        needs(present(Self::mode.name), [filled(Self::requires.name), yes(Self::deny.name)]),
        needs(present(Self::shadow_percent.name), [word(Self::mode.name, ["shadow"])]),
    ]
}

/// The forms of a requirement, of which each has one.
#[cfg(not(target_family = "wasm"))]
fn forms() -> [Given; 6] {
    [
        RequirementObject::provider_name.name,
        RequirementObject::provider_and_audiences.name,
        RequirementObject::requires_any.name,
        RequirementObject::requires_all.name,
        RequirementObject::allow_missing.name,
        RequirementObject::allow_missing_or_failed.name,
    ]
    .map(present)
}

object! {
    /// `rules[].requires`.
    RequirementObject at "rules[].requires" {
        /// a valid token of this provider
        provider_name: Form = Form, values "a provider's name";
        /// the same with its own audiences
        provider_and_audiences: Nested<ProviderAndAudiencesObject> = Nested::NEW;
        /// the request must meet one of these requirements; the first that it meets applies
        requires_any: Nested<RequirementsObject> = Nested::NEW;
        /// the request must meet each of these requirements
        requires_all: Nested<RequirementsObject> = Nested::NEW;
        /// no token, or a valid one
        allow_missing: Empty = Empty;
        /// the request always meets it; the filter forwards the claims of valid tokens
        allow_missing_or_failed: Empty = Empty;
        extract_only_without_validation: Refused = Refused;
    }
    relations [
        at_most_one(forms()),
    ]
}

object! {
    /// `rules[].requires.provider_and_audiences`.
    ProviderAndAudiencesObject at "rules[].requires.provider_and_audiences" {
        /// a valid token of this provider
        provider_name: Form = Form, required "write the provider whose token the request needs", values "a provider's name";
        /// replaces the provider's own audiences, unless empty
        audiences: Strings = Strings, default "[]";
    }
}

object! {
    /// `rules[].requires.requires_any`.
    RequirementsObject at "rules[].requires.requires_any" {
        /// requirements; none of them may be empty
        requirements: SomeOf<RequirementObject> = SomeOf::NEW, required "write the list of requirements";
    }
    relations [
        never(among(Self::requirements.name, Given::Empty)),
    ]
}

object! {
    /// `rules[].authorize`.
    AuthorizeObject at "rules[].authorize" {
        /// the scopes that the token must have
        scopes: Nested<ScopesObject> = Nested::NEW;
        /// conditions, all of which must be true
        claims: SomeOf<ConditionObject> = SomeOf::NEW;
        /// a request without a token passes if its requirement allows that, as `allow_missing` does; the
        /// conditions apply to a token that is present
        optional: Or<Flag> = Or(Flag, false);
    }
    relations [
        some([present(Self::scopes.name), present(Self::claims.name)]),
    ]
}

object! {
    /// `rules[].authorize.scopes`.
    ScopesObject at "rules[].authorize.scopes" {
        /// the token needs all of these scopes
        all: SomeStrings = SomeStrings;
        /// the token needs one of these scopes
        any: SomeStrings = SomeStrings;
        /// the claims that may contain scopes, as space-separated text or as a list
        claim_names: SomeNames = SomeNames, default "[scope, scp]";
    }
    relations [
        one([present(Self::all.name), present(Self::any.name)]),
    ]
}

object! {
    /// `rules[].authorize.claims[]`.
    ConditionObject at "rules[].authorize.claims[]" {
        /// the claim, named as in [`claim_to_headers`](#what-the-upstream-receives)
        claim_name: Name = Name;
        /// the claim, by the names of members
        claim_path: SomeOf<ClaimStepObject> = SomeOf::NEW;
        /// the claim equals this, including its type: `5` is not `"5"`
        equals: Scalar = Scalar;
        /// the claim equals one of these
        any_of: SomeScalars = SomeScalars;
        /// the claim is a list, not a single value, and contains all of these
        all_of: SomeScalars = SomeScalars;
        /// the text of the claim begins with this
        prefix: SomeForm = SomeForm;
        /// the text of the claim ends with this
        suffix: SomeForm = SomeForm;
        /// the text of the claim contains this
        contains: SomeForm = SomeForm;
        /// the pattern matches the whole text of the claim
        regex: SomeForm = SomeForm;
        /// whether the claim must be present
        exists: Flag = Flag;
        /// the text of the claim equals a part of the request
        equals_request: Nested<RequestPartObject> = Nested::NEW;
        /// numbers and booleans never pass `prefix`, `suffix`, `contains` and `regex`
        strings_only: Or<Flag> = Or(Flag, false);
        /// the test must fail
        invert: Or<Flag> = Or(Flag, false);
        /// conditions, one of which must be true
        any: SomeOf<ConditionObject> = SomeOf::NEW;
    }
    relations [
        one([present(Self::claim_name.name), present(Self::claim_path.name), present(Self::any.name)]),
        one([
            present(Self::equals.name),
            present(Self::any_of.name),
            present(Self::all_of.name),
            present(Self::prefix.name),
            present(Self::suffix.name),
            present(Self::contains.name),
            present(Self::regex.name),
            present(Self::exists.name),
            present(Self::equals_request.name),
            present(Self::any.name),
        ]),
        without(present(Self::any.name), [present(Self::strings_only.name), present(Self::invert.name)]),
        needs(
            yes(Self::strings_only.name),
            [
                present(Self::prefix.name),
                present(Self::suffix.name),
                present(Self::contains.name),
                present(Self::regex.name),
            ],
        ),
    ]
}

object! {
    /// `rules[].authorize.claims[].equals_request`.
    RequestPartObject at "rules[].authorize.claims[].equals_request" {
        /// a [canonical](#canonical-paths) path such as `/tenants/{tenant}/**`: each segment is a literal,
        /// `*` or `{name}`; the last may be `**`
        path_template: SomeForm = SomeForm;
        /// the `{name}` of the segment to compare; only with `path_template`
        variable: Name = Name, fix "write the name of the template's variable";
        /// a header that occurs once, and that the filter does not write
        header: Form = Form, values "a header's name";
        /// `true`: `:authority` without its port, in lower case
        host: Flag = Flag;
    }
    relations [
        one([present(Self::path_template.name), present(Self::header.name), yes(Self::host.name)]),
        needs(present(Self::path_template.name), [present(Self::variable.name)]),
        needs(present(Self::variable.name), [present(Self::path_template.name)]),
    ]
}

object! {
    /// `requirement_map.<name>`: a requirement, and what goes beside it.
    EntryObject at "requirement_map.<name>" {
        /// a valid token of this provider
        provider_name: Form = Form, values "a provider's name";
        /// the same with its own audiences
        provider_and_audiences: Nested<ProviderAndAudiencesObject> = Nested::NEW;
        /// the request must meet one of these requirements; the first that it meets applies
        requires_any: Nested<RequirementsObject> = Nested::NEW;
        /// the request must meet each of these requirements
        requires_all: Nested<RequirementsObject> = Nested::NEW;
        /// no token, or a valid one
        allow_missing: Empty = Empty;
        /// the request always meets it; the filter forwards the claims of valid tokens
        allow_missing_or_failed: Empty = Empty;
        extract_only_without_validation: Refused = Refused;
        /// [scopes and claims](#scopes-and-claims) that the token must have; only with a requirement
        authorize: Nested<AuthorizeObject> = Nested::NEW;
        /// overrides the filter's `mode`; only with a requirement
        mode: Word<Mode> = Word(MODES);
        /// with `mode: shadow`, as at the top level
        shadow_percent: Whole = Whole(0, 100);
        /// overrides the filter's `protected_resource`, in the same form; only with a requirement
        protected_resource: Nested<ProtectedResourceObject> = Nested::NEW;
    }
    relations [
        at_most_one(forms()),
        needs(
            present(Self::authorize.name),
            forms(),
        ),
        needs(
            present(Self::mode.name),
            forms(),
        ),
        needs(
            present(Self::protected_resource.name),
            forms(),
        ),
        needs(present(Self::shadow_percent.name), [word(Self::mode.name, ["shadow"])]),
    ]
}
