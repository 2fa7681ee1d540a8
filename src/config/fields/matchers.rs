//! The match of a rule, and the matchers of texts.

use crate::config::field::{
    Empty, Flag, Form, ListOf, Name, Nested, OneOrSome, Opaque, Or, Refused, Signed, SomeForm, SomeStrings,
    object,
};

object! {
    /// `providers.<name>.subjects`.
    StringMatcherObject at "providers.<name>.subjects" {
        /// the text equals this
        exact: Form = Form;
        /// the text begins with this
        prefix: SomeForm = SomeForm;
        /// the text ends with this
        suffix: SomeForm = SomeForm;
        /// the text contains this
        contains: SomeForm = SomeForm;
        /// the pattern matches the whole text
        safe_regex: Nested<RegexObject> = Nested::NEW;
        /// ignores the case of ASCII letters; not together with `safe_regex`, which supports `(?i)`
        ignore_case: Or<Flag> = Or(Flag, false);
        custom: Refused = Refused;
    }
    relations [
        one([
            present(Self::exact.name),
            present(Self::prefix.name),
            present(Self::suffix.name),
            present(Self::contains.name),
            present(Self::safe_regex.name),
        ]),
        without(present(Self::safe_regex.name), [yes(Self::ignore_case.name)]),
    ]
}

object! {
    /// `providers.<name>.subjects.safe_regex`.
    RegexObject at "providers.<name>.subjects.safe_regex" {
        /// must match the whole text
        regex: Form = Form, required "write the pattern", values "a pattern as in RE2, without Unicode classes";
        /// accepted for older configurations, including its `max_program_size`; no effect
        google_re2: Opaque = Opaque;
    }
}

object! {
    /// `rules[].match`.
    MatchObject at "rules[].match" {
        /// the path equals this
        path: Form = Form, values "begins with `/`, without `*`, `{`, `}`";
        /// the path begins with these bytes: `/a` matches `/ab`. `/` matches every request, including
        /// `OPTIONS *` and `CONNECT`
        prefix: Form = Form, values "begins with `/`, without `*`, `{`, `}`";
        /// the path equals this or continues with `/`: `/a` matches `/a/b`, not `/ab`
        path_separated_prefix: Form = Form, values "begins with `/`, ends without, without `*`, `{`, `}`";
        /// the [pattern](#providersnamesubjectssafe_regex) matches the whole path
        safe_regex: Nested<RegexObject> = Nested::NEW;
        /// the method is `CONNECT`
        connect_matcher: Empty = Empty;
        /// whether the comparison of the path is case-sensitive
        case_sensitive: Or<Flag> = Or(Flag, true);
        /// the method is one of these
        methods: SomeStrings = SomeStrings, values "upper case, not empty";
        /// `:authority` is one of these, case-insensitive
        hosts: SomeStrings = SomeStrings, values "hosts such as `example.com`, `*.example.com` or `*`";
        /// every one of these matches
        headers: ListOf<HeaderMatcherObject> = ListOf::NEW, default "[]";
        /// every one of these matches
        query_parameters: ListOf<ParameterMatcherObject> = ListOf::NEW, default "[]";
        /// none of these matches
        not: OneOrSome<Self> = OneOrSome::NEW;
        path_match_policy: Refused = Refused;
        runtime_fraction: Refused = Refused;
        grpc: Refused = Refused;
        tls_context: Refused = Refused;
        dynamic_metadata: Refused = Refused;
        filter_state: Refused = Refused;
        cookies: Refused = Refused;
    }
    relations [
        at_most_one([
            present(Self::path.name),
            present(Self::prefix.name),
            present(Self::path_separated_prefix.name),
            present(Self::safe_regex.name),
            present(Self::connect_matcher.name),
        ]),
        without(present(Self::connect_matcher.name), [present(Self::methods.name)]),
        some([
            present(Self::path.name),
            present(Self::prefix.name),
            present(Self::path_separated_prefix.name),
            present(Self::safe_regex.name),
            present(Self::connect_matcher.name),
            present(Self::methods.name),
            present(Self::hosts.name),
            filled(Self::headers.name),
            filled(Self::query_parameters.name),
            present(Self::not.name),
        ]),
    ]
}

object! {
    /// `rules[].match.headers[]`.
    HeaderMatcherObject at "rules[].match.headers[]" {
        /// the header
        name: Form = Form, required "write the header's name", values "a header's name, `:method` and the like included";
        /// whether the header must be present
        present_match: Flag = Flag;
        /// a [string matcher](#providersnamesubjects)
        string_match: Nested<StringMatcherObject> = Nested::NEW;
        /// a whole number in a range
        range_match: Nested<RangeObject> = Nested::NEW;
        /// older form of `string_match: {exact: …}`
        exact_match: Form = Form;
        /// older form
        prefix_match: SomeForm = SomeForm;
        /// older form
        suffix_match: SomeForm = SomeForm;
        /// older form
        contains_match: SomeForm = SomeForm;
        /// older form of `string_match: {safe_regex: …}`
        safe_regex_match: Nested<RegexObject> = Nested::NEW;
        /// the test must fail
        invert_match: Or<Flag> = Or(Flag, false);
        /// an absent header counts as empty text
        treat_missing_header_as_empty: Or<Flag> = Or(Flag, false);
    }
    relations [
        at_most_one([
            present(Self::present_match.name),
            present(Self::string_match.name),
            present(Self::range_match.name),
            present(Self::exact_match.name),
            present(Self::prefix_match.name),
            present(Self::suffix_match.name),
            present(Self::contains_match.name),
            present(Self::safe_regex_match.name),
        ]),
    ]
}

object! {
    /// `rules[].match.headers[].range_match`.
    RangeObject at "rules[].match.headers[].range_match" {
        /// the lowest number that matches
        start: Or<Signed> = Or(Signed, 0);
        /// the lowest number above `start` that does not match
        end: Or<Signed> = Or(Signed, 0);
    }
}

object! {
    /// `rules[].match.query_parameters[]`.
    ParameterMatcherObject at "rules[].match.query_parameters[]" {
        /// the parameter
        name: Name = Name, required "write the parameter's name";
        /// a [string matcher](#providersnamesubjects) for its value
        string_match: Nested<StringMatcherObject> = Nested::NEW;
        /// whether it must be present; not together with `string_match`
        present_match: Or<Flag> = Or(Flag, true);
    }
    relations [
        at_most_one([present(Self::string_match.name), present(Self::present_match.name)]),
    ]
}

object! {
    /// The choice of an engine in older configurations. There is only one.
    GoogleRe2Object at "google_re2" {
        max_program_size: Opaque = Opaque;
    }
}
