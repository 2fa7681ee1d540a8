//! The indexes by which one part of a configuration refers to another: each list has a type of its own.

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
    /// A provider, by its position among the configuration's.
    ProviderId
}
index! {
    /// A location of tokens, by its position among the configuration's.
    LocationId
}
index! {
    /// A header field that decisions read, by its position among the wanted ones.
    FieldId
}

/// What decides what a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Nothing but that it is a CORS preflight.
    CorsPreflight,
    /// The entry of `requirement_map` that the route names.
    Route {
        /// Which.
        number: usize,
        /// What it would bypass is not bypassed.
        is_strict: bool,
    },
    /// One of `rules`.
    Rule {
        /// Which.
        number: usize,
        /// As above.
        is_strict: bool,
    },
    /// One of `filter_state_rules`.
    FilterState {
        /// Which.
        number: usize,
        /// As above.
        is_strict: bool,
    },
    /// Nothing: every request needs a token.
    Otherwise,
}
