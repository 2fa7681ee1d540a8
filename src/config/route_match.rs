//! `match`: the part of Envoy's `RouteMatch` that jwt_authn uses, and `methods` and `hosts`.

use super::error::ConfigError;
use super::fields::{HeaderMatcherObject, MatchObject, ParameterMatcherObject, RangeObject, RegexObject};
use super::leftover::{has_any, has_part};
use super::node::{Node, read_each};
use super::reach::{Earlier, Reach};
use super::reader::Fields;
use super::{Names, header_name, string_matcher};
use crate::http::Authority;
use crate::ids::RuleId;
use crate::policy::{
    AnyMatcher, FieldKind, HeaderMatcher, HeaderTest, HostPattern, ParameterMatcher, PathPattern, PathTest,
    RequestMatcher, in_normal_form,
};

const PATH_FIELDS: &str = "path, prefix, path_separated_prefix, safe_regex, connect_matcher";

/// One or several matchers, of which one must match, and the requests that each of them matches.
pub(super) fn read(node: &Node<'_>, names: &mut Names) -> Result<(AnyMatcher, Vec<Reach>), Box<ConfigError>> {
    let read = read_each(&node.one_or_some()?, |node| read_one(node, names))?;
    let (matchers, reaches) = read.into_iter().unzip();
    Ok((AnyMatcher(matchers), reaches))
}

fn read_one(node: &Node<'_>, names: &mut Names) -> Result<(RequestMatcher, Reach), Box<ConfigError>> {
    let fields = node.fields(MatchObject)?;
    refuse_what_is_not_matched(&fields)?;
    let ignore_case = !fields.value(MatchObject::case_sensitive)?;

    let mut matcher = RequestMatcher {
        id: names.matcher(),
        ..RequestMatcher::default()
    };
    let mut reach = Reach::default();
    let mut path = None;
    let tests = [
        (Test::Path, fields.get(MatchObject::path)),
        (Test::Prefix, fields.get(MatchObject::prefix)),
        (
            Test::SeparatedPrefix,
            fields.get(MatchObject::path_separated_prefix),
        ),
        (Test::Regex, fields.get(MatchObject::safe_regex)),
        (Test::Connect, fields.get(MatchObject::connect_matcher)),
    ];
    for (test, found) in tests {
        let Some(found) = found else { continue };
        if path.is_some() || matcher.methods.is_some() {
            return Err(found.invalid(format!("write exactly one of {PATH_FIELDS}")));
        }
        path = match test {
            Test::Path => Some(PathTest::Exact(read_path(found, "")?)),
            Test::Prefix => Some(PathTest::Prefix(read_path(found, ".*")?)),
            Test::SeparatedPrefix => Some(PathTest::SeparatedPrefix(read_separated_prefix(found)?)),
            Test::Regex => {
                let pattern = string_matcher::read_regex(found)?;
                refuse_useless_pattern(found)?;
                warn_of_open_pattern(found, names)?;
                reach.pattern(found.value().text().into(), &pattern);
                Some(PathTest::Pattern(names.patterns("path").add(pattern)))
            }
            Test::Connect => {
                found.empty()?;
                reach.test("connect", "");
                matcher.methods = Some((names.field(":method"), vec![(*b"CONNECT").into()]));
                None
            }
        };
    }
    let is_connect = matcher.methods.is_some();
    // A matcher for every path needs no path.
    let is_any_path = matches!(&path, Some(PathTest::Prefix(prefix)) if **prefix == *b"/");
    match &path {
        Some(PathTest::Exact(text)) => reach.exact(text, ignore_case),
        Some(PathTest::Prefix(text)) if !is_any_path => reach.beginning(text, ignore_case),
        Some(PathTest::SeparatedPrefix(text)) => reach.below(text, ignore_case),
        Some(PathTest::Prefix(_) | PathTest::Pattern(_)) | None => {}
    }
    for (name, test) in [
        ("methods", fields.get(MatchObject::methods)),
        ("hosts", fields.get(MatchObject::hosts)),
        ("headers", fields.get(MatchObject::headers)),
        ("query_parameters", fields.get(MatchObject::query_parameters)),
    ] {
        if let Some(text) = test.map(|node| node.value().text()).filter(|text| *text != "[]") {
            reach.test(name, text);
        }
    }
    matcher.path = path
        .filter(|_| !is_any_path)
        .map(|test| PathPattern::new(test, ignore_case));
    if matcher.path.is_some() {
        names.field(":path");
    }

    if let Some(node) = fields.get(MatchObject::methods) {
        if is_connect {
            return Err(node.invalid("connect_matcher says the method already"));
        }
        let methods = read_each(&node.some_list()?, read_method)?;
        matcher.methods = Some((names.field(":method"), methods));
    }
    if let Some(node) = fields.get(MatchObject::hosts) {
        let hosts = read_each(&node.some_list()?, read_host)?;
        matcher.hosts = Some((names.field(":authority"), hosts));
    }
    if let Some(node) = fields.get(MatchObject::headers) {
        matcher.headers = read_each(&node.list()?, |node| read_header(node, names))?;
    }
    if let Some(node) = fields.get(MatchObject::query_parameters) {
        let parameters = read_each(&node.list()?, |node| read_parameter(node, names))?;
        if !parameters.is_empty() {
            matcher.parameters = Some((names.field(":path"), parameters));
        }
    }
    if let Some(node) = fields.get(MatchObject::not) {
        let (not, excluded) = read(node, names)?;
        let mut all = Earlier::default();
        for other in excluded {
            all.take(&other, RuleId::default());
        }
        if all.surely_covers(&reach) {
            return Err(
                node.invalid("can never match: `not` excludes every request that the other tests take")
            );
        }
        reach.test("not", node.value().text());
        matcher.not = Some(not);
    }
    if !node.is_sound() {
        // The unknown field may make it narrower, so that it hides no later rule.
        return Err(ConfigError::reported());
    }
    let says_nothing = !is_any_path
        && matcher.not.is_none()
        && matcher.path.is_none()
        && matcher.methods.is_none()
        && matcher.hosts.is_none()
        && matcher.headers.is_empty()
        && matcher.parameters.is_none();
    if says_nothing {
        return Err(node.invalid("has no test; to match every request write {prefix: /}"));
    }
    Ok((matcher, reach))
}

/// The fields of which a match has at most one.
enum Test {
    Path,
    Prefix,
    SeparatedPrefix,
    Regex,
    Connect,
}

/// Refuses the fields of Envoy's `RouteMatch` that jwt_authn ignores: a rule with one of them would match
/// more than its author thinks.
// Not inlined here and below, for the memory of Envoy: docs/adr/0010-build-settings.md.
#[inline(never)]
fn refuse_what_is_not_matched(fields: &Fields<'_, MatchObject>) -> Result<(), Box<ConfigError>> {
    let refused = [
        (
            MatchObject::path_match_policy,
            "write path, prefix, path_separated_prefix or safe_regex",
        ),
        (
            MatchObject::runtime_fraction,
            "a share of the requests is no authentication policy",
        ),
        (MatchObject::grpc, "match on the header content-type instead"),
        (
            MatchObject::tls_context,
            "put the filter into the filter chain of that TLS context instead",
        ),
        (
            MatchObject::dynamic_metadata,
            "name a requirement in the route's metadata instead",
        ),
        (MatchObject::filter_state, "write filter_state_rules instead"),
        (MatchObject::cookies, "match on the header cookie instead"),
    ];
    for (field, instead) in refused {
        if let Some(node) = fields.get(field) {
            return Err(node.invalid(format!("neither this filter nor jwt_authn reads it; {instead}")));
        }
    }
    Ok(())
}

/// The text with which a path is compared. `rest` is the pattern for the text after it.
fn read_path(node: &Node<'_>, rest: &str) -> Result<Box<[u8]>, Box<ConfigError>> {
    let path = node.name()?;
    let is_regex =
        path.starts_with('^') || path.starts_with('~') || has_part(&path, ".*") || has_any(&path, "\\|[(");
    let has_variables = has_any(&path, "*{}<>") || has_part(&path, "/:");
    if is_regex || has_variables {
        return Err(node.invalid(format!(
            "`{path}` is compared byte by byte: a pattern or a variable in it would match only itself; {}",
            instead_of_wildcards(&path, rest, is_regex)
        )));
    }
    if !path.starts_with('/') {
        let what = "a path begins with `/`";
        return Err(match has_part(&path, "//") {
            true => node.invalid(format!("{what}; write a host into `hosts`")),
            false => node.invalid(format!("{what}; write `/{path}`")),
        });
    }
    if has_any(&path, "?#") {
        return Err(node.invalid(
            "is compared with the path alone, which holds no `?` and no `#`; write `query_parameters`",
        ));
    }
    if has_part(&path, ",/") {
        return Err(node.invalid("is one path; write a list: `match: [{path: /a}, {path: /b}]`"));
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"') {
        return Err(node.invalid(
            "clients percent-encode such a character; write it encoded, such as `%20` for a space",
        ));
    }
    // Only for a prefix, the last segment may go on in the request: `/.` takes `/.git`.
    refuse_other_spellings(node, path.as_bytes(), rest == ".*")?;
    Ok(path.into_boxed_bytes())
}

/// Refuses a path that clients and Envoy spell in another way: the rule would leave that spelling to the next
/// rule.
fn refuse_other_spellings(node: &Node<'_>, path: &[u8], is_prefix: bool) -> Result<(), Box<ConfigError>> {
    let normal = in_normal_form(path);
    let mut segments = normal.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if (segment.is_empty() && !is_last) || (matches!(segment, b"." | b"..") && !(is_last && is_prefix)) {
            return Err(node.invalid(
                "has an empty segment, `.` or `..`, which a normalized path does not have; leave it out",
            ));
        }
    }
    // The path is longer only if it escapes a plain character. Digits of either case have the same length.
    match normal.len() < path.len() {
        true => Err(node.invalid(format!(
            "a normalized path does not encode a plain character; write `{}`",
            String::from_utf8_lossy(&normal)
        ))),
        false => Ok(()),
    }
}

/// Refuses a pattern that matches no path, since it begins with a letter or has a query.
fn refuse_useless_pattern(node: &Node<'_>) -> Result<(), Box<ConfigError>> {
    let fields = node.fields(RegexObject)?;
    let node = fields.require(RegexObject::regex)?;
    let pattern = node.part()?;
    if has_any(&pattern, "|") {
        return Ok(());
    }
    let mut rest = pattern.trim_start_matches('^').bytes();
    if rest.next().is_some_and(|first| first.is_ascii_alphanumeric()) && !is_optional(rest.next()) {
        return Err(node.invalid(
            "can never match: the pattern is for the whole path, which begins with `/`; write `/` or `.*` in front",
        ));
    }
    if needs_question_mark(&pattern) {
        return Err(node.invalid(
            "can never match: the pattern is for the path alone, which holds no `?`; write `query_parameters`",
        ));
    }
    Ok(())
}

/// Whether a pattern without `|` matches only text with a `?`: it has `\?` outside of every group and set.
fn needs_question_mark(pattern: &str) -> bool {
    let mut depth = 0_usize;
    let mut bytes = pattern.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'(' | b'[' => depth = depth.saturating_add(1),
            b')' | b']' => depth = depth.saturating_sub(1),
            b'\\' if bytes.next() == Some(b'?') && depth == 0 && !is_optional(bytes.peek().copied()) => {
                return true;
            }
            _ => {}
        }
    }
    false
}

/// Whether this byte makes the part of the pattern before it optional.
fn is_optional(next: Option<u8>) -> bool {
    matches!(next, Some(b'?' | b'*' | b'{'))
}

/// Warns of a pattern that other products would search for in the path.
fn warn_of_open_pattern(node: &Node<'_>, names: &mut Names) -> Result<(), Box<ConfigError>> {
    let fields = node.fields(RegexObject)?;
    let node = fields.require(RegexObject::regex)?;
    let pattern = node.part()?;
    if pattern.starts_with('^') && !has_any(&pattern, "$*|") {
        names.warnings.push(format!(
            "{}: the pattern has to match the whole path; to match every path with this beginning, write `.*` at its end",
            node.path()
        ));
    }
    Ok(())
}

/// The correction of a path with the wildcards or variables of another product.
fn instead_of_wildcards(path: &str, rest: &str, is_regex: bool) -> String {
    let path = path.trim_start_matches('^').trim_start_matches('~');
    // `/admin/*` is how Istio and others write a prefix.
    let prefix = path
        .trim_end_matches('$')
        .trim_end_matches('*')
        .trim_end_matches('.');
    if prefix.len() < path.len() && !has_any(prefix, "*{}\\|[(:<") {
        return format!("write `prefix: {prefix}`");
    }
    if is_regex {
        return format!("write `safe_regex: {{regex: '{path}'}}`, which has to match the whole path");
    }
    let mut pattern = String::new();
    let mut left = path;
    while let Some(letter) = left.chars().next() {
        let (piece, length) = match (letter, left.find('}')) {
            ('{', Some(end)) => ("[^/]+", end.saturating_add(1)),
            ('<', _) => (
                "[^/]+",
                left.find('>').map_or(left.len(), |end| end.saturating_add(1)),
            ),
            (':', _) if pattern.ends_with('/') => ("[^/]+", left.find('/').unwrap_or(left.len())),
            ('*', _) if left.starts_with("**") => (".*", 2),
            ('*', _) => ("[^/]*", 1),
            _ => ("", letter.len_utf8()),
        };
        let (here, after) = left.split_at_checked(length).unwrap_or((left, ""));
        if piece.is_empty() {
            if ".+*?()|[]{}^$\\".contains(letter) {
                pattern.push('\\');
            }
            pattern.push_str(here);
        } else {
            pattern.push_str(piece);
        }
        left = after;
    }
    format!("write `safe_regex: {{regex: '{pattern}{rest}'}}`, in which `\\*` is the character itself")
}

fn read_separated_prefix(node: &Node<'_>) -> Result<Box<[u8]>, Box<ConfigError>> {
    let path = read_path(node, "(/.*)?")?;
    if path.ends_with(b"/") {
        return Err(node.invalid("ends before the slash that separates; write it without"));
    }
    Ok(path)
}

fn read_method(node: &Node<'_>) -> Result<Box<[u8]>, Box<ConfigError>> {
    let method = node.name()?;
    if !method
        .bytes()
        .all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
    {
        return Err(
            node.invalid("is not a method; write a list, as in [GET, POST], or leave `methods` out for all")
        );
    }
    if !method
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte == b'-')
    {
        return Err(node.invalid(format!(
            "methods are compared exactly; write `{}`",
            method.to_ascii_uppercase()
        )));
    }
    Ok(method.into_boxed_bytes())
}

#[inline(never)]
fn read_host(node: &Node<'_>) -> Result<HostPattern, Box<ConfigError>> {
    let host = node.name()?.to_ascii_lowercase();
    if host == "*" {
        return Ok(HostPattern::Any);
    }
    let (name, pattern): (_, fn(Authority<'static>) -> HostPattern) = match host.strip_prefix("*.") {
        Some(suffix) => (suffix, HostPattern::Under),
        None => (&*host, HostPattern::Exact),
    };
    match Authority::parse(name.as_bytes()) {
        Some(authority) => Ok(pattern(authority.into_owned())),
        None => Err(node.invalid(format!(
            "`{host}` is not a host; write it as in `example.com` or `*.example.com`"
        ))),
    }
}

#[inline(never)]
fn read_header(node: &Node<'_>, names: &mut Names) -> Result<HeaderMatcher, Box<ConfigError>> {
    let fields = node.fields(HeaderMatcherObject)?;
    let name = fields.require(HeaderMatcherObject::name);
    let name = fields.keep(name.and_then(read_header_name));
    let set = names.patterns(&format!("header {}", name.as_deref().unwrap_or_default()));
    let invert = fields.value(HeaderMatcherObject::invert_match)?;
    let missing_is_empty = fields.value(HeaderMatcherObject::treat_missing_header_as_empty)?;
    let mut tests = Vec::new();
    if let Some(node) = fields.get(HeaderMatcherObject::string_match) {
        tests.push(HeaderTest::Text(string_matcher::read(node, &set)?));
    }
    if let Some(node) = fields.get(HeaderMatcherObject::present_match) {
        tests.push(HeaderTest::Present(node.bool()?));
    }
    if let Some(node) = fields.get(HeaderMatcherObject::range_match) {
        let range = node.fields(RangeObject)?;
        let (start, end) = (range.value(RangeObject::start)?, range.value(RangeObject::end)?);
        if start >= end {
            return Err(node.invalid(format!(
                "contains no number: it ends before {end} and starts at {start}"
            )));
        }
        tests.push(HeaderTest::Range(start, end));
    }
    tests.extend(
        string_matcher::read_older(&fields, &set)?
            .into_iter()
            .map(HeaderTest::Text),
    );
    let test = match (tests.pop(), tests.is_empty()) {
        (None, _) => HeaderTest::Present(true),
        (Some(test), true) => test,
        (Some(_), false) => {
            return Err(node.invalid("a header matcher takes one test; write another matcher for each"));
        }
    };
    let name = name.ok_or_else(ConfigError::reported)?;
    Ok(HeaderMatcher {
        field: names.field(&name),
        kind: match name.as_str() {
            ":method" => FieldKind::Method,
            ":path" => FieldKind::Path,
            ":authority" => FieldKind::Authority,
            "cookie" => FieldKind::Cookie,
            _ => FieldKind::Other,
        },
        is_owned: names.owned_headers.contains(&name),
        test,
        invert,
        missing_is_empty,
    })
}

/// The name of a field, possibly a pseudo-field such as `:method`.
fn read_header_name(node: &Node<'_>) -> Result<String, Box<ConfigError>> {
    let name = node.name()?.to_ascii_lowercase();
    match name.as_str() {
        ":path" | ":method" | ":authority" | ":scheme" => Ok(name),
        "host" => Ok(":authority".to_owned()),
        _ => header_name::read(node),
    }
}

#[inline(never)]
fn read_parameter(node: &Node<'_>, names: &mut Names) -> Result<ParameterMatcher, Box<ConfigError>> {
    let fields = node.fields(ParameterMatcherObject)?;
    let name = fields.keep(fields.required(ParameterMatcherObject::name));
    let set = names.patterns(&format!("parameter {}", name.as_deref().unwrap_or_default()));
    let value = fields
        .get(ParameterMatcherObject::string_match)
        .map(|node| string_matcher::read(node, &set))
        .transpose()?;
    let present = match fields.get(ParameterMatcherObject::present_match) {
        Some(node) if value.is_some() => return Err(node.invalid("write one of string_match, present_match")),
        _ => fields.value(ParameterMatcherObject::present_match)?,
    };
    let name = name.ok_or_else(ConfigError::reported)?;
    Ok(ParameterMatcher {
        place: names.condition(name.to_string(), Box::default()),
        name,
        value,
        present,
    })
}
