//! The indexes with which one part of a configuration refers to another. Each list has a type of its own.

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(usize);

        impl $name {
            /// The entry at this position.
            #[must_use]
            pub const fn new(index: usize) -> Self {
                Self(index)
            }

            /// The position.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0
            }
        }
    };
}

index! {
    /// A provider, by its position in the configuration.
    ProviderId
}
index! {
    /// A location of tokens, by its position in the configuration.
    LocationId
}
index! {
    /// A header field that decisions need, by its position among the wanted fields.
    FieldId
}

index! {
    /// A claim of a provider's `required_claims`, by its position there.
    RequiredClaimId
}
index! {
    /// A condition of `authorize`, or a parameter in `match`, by its position among all of them.
    ConditionId
}
index! {
    /// The scopes of a challenge, by their position among those of all replies.
    ScopesId
}
index! {
    /// A rule, by its position in `rules`.
    RuleId
}
index! {
    /// One entry of a rule's `match`, by its position among those of all rules.
    MatcherId
}
index! {
    /// An entry of `requirement_map`, by its position in the configuration.
    RequirementId
}
index! {
    /// An entry of `filter_state_rules`, by its position in the configuration.
    FilterStateId
}
index! {
    /// A protected resource, by its position in the configuration.
    ResourceId
}

/// The part of the configuration that determines the requirement of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The request is a CORS preflight.
    CorsPreflight,
    /// The entry of `requirement_map` that the route names.
    Route {
        /// The entry.
        id: RequirementId,
        /// The path is not canonical: the entry needs a token, although it would bypass the request.
        is_strict: bool,
    },
    /// One of `rules`.
    Rule {
        /// The rule.
        id: RuleId,
        /// The path is not canonical: the rule needs a token, although it would bypass the request.
        is_strict: bool,
    },
    /// One of `filter_state_rules`.
    FilterState {
        /// The entry.
        id: FilterStateId,
        /// The path is not canonical: the rule needs a token, although it would bypass the request.
        is_strict: bool,
    },
    /// No rule matches: every request needs a token.
    Otherwise,
}
