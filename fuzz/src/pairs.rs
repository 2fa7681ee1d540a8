//! Two requests: one in its plainest form, and another that some server treats as the first one. A client
//! that may not send the first one may not send the second one.

use std::rc::Rc;

use proxy_wasm_jwt::authenticator::{Authenticator, Decision, StreamId};
use proxy_wasm_jwt::config::Config;
use proxy_wasm_jwt::request::RequestHead;
use proxy_wasm_jwt::store::InMemoryStore;
use proxy_wasm_jwt::time::UnixTime;
use serde_json::{Value, json};

use crate::NOW;
use crate::request::{Says, segment};

/// The parts of a request that servers interpret in several ways.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PairRequest {
    method: Vec<u8>,
    /// One, or several of which a server takes one.
    hosts: Vec<Vec<u8>>,
    path: Vec<u8>,
    /// The rule is for every path with this prefix.
    is_prefix: bool,
    /// The text between path and query.
    mark: &'static str,
    /// Each parameter, with the separator before it.
    pairs: Vec<(u8, Vec<u8>, Vec<u8>)>,
    headers: Vec<(&'static str, Vec<u8>)>,
}

/// Header fields.
type Fields = Vec<(&'static str, Vec<u8>)>;

/// The choices that the bytes of an input make; zeros where they end.
pub(crate) struct Bytes<'b>(pub(crate) &'b [u8]);

impl Bytes<'_> {
    pub(crate) fn next(&mut self) -> usize {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                usize::from(*first)
            }
            [] => 0,
        }
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.next() % end.max(1)
    }

    pub(crate) fn pick<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        &list[self.below(list.len())]
    }
}

const METHODS: [&str; 6] = ["GET", "POST", "DELETE", "PUT", "PATCH", "M-SEARCH"];
const HOSTS: [&str; 9] = [
    "other.example",
    "admin.example",
    "a.ops.example",
    "open.example",
    "internal.example",
    "[2001:db8::1]",
    "127.0.0.1",
    "port.example:8443",
    "public.example",
];
const PATHS: [&str; 18] = [
    "/",
    "/admin",
    "/admin/x",
    "/tenants/acme/x",
    "/tenants/evil/x",
    "/exact",
    "/v1/secret/xy",
    "/m/x",
    "/h/x",
    "/audit/x",
    "/q",
    "/e/x",
    "/k",
    "/open/x",
    "/optional/x",
    "/shadow/x",
    "/other/path",
    "/a%20b/c",
];
const NAMES: [&str; 4] = ["mode", "debug_mode", "key", "x"];
const VALUES: [&str; 5] = ["strict", "open", "all of it", "secretx", ""];
const ENVIRONMENTS: [&str; 5] = ["prod", "test", "secret-x", "other", "a-secret"];

fn config() -> Rc<Config> {
    fn rules() -> Value {
        let partner = || json!({"provider_name": "partner"});
        let corp = || json!({"provider_name": "corp"});
        let asks = |matcher: Value| json!({"match": matcher, "requires": partner()});
        let scoped = |matcher: Value, scope: &str| json!({"match": matcher, "requires": corp(), "authorize": {"scopes": {"all": [scope]}}});
        let header = |name: &str, test: Value| json!({"prefix": "/", "headers": [{"name": name, "string_match": test}]});
        let query = |prefix: &str, name: &str, test: Value| {
            let mut matcher = json!({"prefix": prefix, "query_parameters": [test]});
            matcher["query_parameters"][0]["name"] = name.into();
            matcher
        };
        json!([
            scoped(json!({"prefix": "/admin"}), "admin"),
            {"match": {"prefix": "/tenants"}, "requires": corp(), "authorize": {"claims": [{
                "claim_name": "tenant",
                "equals_request": {"path_template": "/tenants/{tenant}/**", "variable": "tenant"},
            }]}},
            asks(json!({"path": "/exact"})),
            asks(json!({"safe_regex": {"regex": "/v[0-9]+/secret/.*"}})),
            asks(json!({"prefix": "/a%20b"})),
            scoped(json!({"prefix": "/m", "methods": ["POST", "DELETE", "M-SEARCH"]}), "write"),
            asks(json!({"hosts": ["admin.example", "*.ops.example", "[2001:db8::1]", "127.0.0.1"]})),
            asks(json!({"hosts": ["port.example:8443"]})),
            {"match": {"hosts": ["open.example"], "prefix": "/h"}},
            asks(header("host", json!({"exact": "internal.example"}))),
            {"match": {"prefix": "/h", "headers": [
                {"name": ":authority", "string_match": {"suffix": ".example"}, "invert_match": true},
            ]}},
            asks(header(":method", json!({"exact": "PUT"}))),
            asks(header(":path", json!({"prefix": "/audit"}))),
            asks(query("/", "mode", json!({"string_match": {"exact": "strict"}}))),
            asks(query("/q", "mode", json!({"string_match": {"exact": "all of it"}}))),
            asks(query("/other", "mode", json!({"string_match": {"prefix": "secret"}}))),
            scoped(query("/", "debug_mode", json!({})), "debug"),
            {"match": query("/q", "mode", json!({"string_match": {"exact": "open"}}))},
            asks(query("/k", "key", json!({"present_match": false}))),
            {"match": query("/k", "x", json!({"present_match": false}))},
            asks(header("x-env", json!({"exact": "prod"}))),
            asks(header("x-env", json!({"prefix": "secret"}))),
            {"match": {"prefix": "/e", "headers": [{"name": "x-env", "string_match": {"exact": "test"}}]}},
            {"match": {"prefix": "/e", "headers": [
                {"name": "x-env", "string_match": {"contains": "secret"}, "invert_match": true},
            ]}},
            {"match": {"prefix": "/open"}},
            {"match": {"prefix": "/optional"}, "requires": {"allow_missing": {}}},
            {"match": {"prefix": "/shadow"}, "requires": corp(), "mode": "shadow"},
            {"match": {"prefix": "/"}, "requires": corp()},
        ])
    }
    fn parse() -> Rc<Config> {
        let key = json!({"keys": [{
            "kty": "OKP", "crv": "Ed25519", "kid": "ed", "alg": "EdDSA", "use": "sig",
            "x": "qrtLdMUyYu3-C_Tu2RSFKLGA3Y45wqM8m8TrWEM-Wjw",
        }]});
        let provider = |issuer: &str, header: &str, prefix: &str| {
            json!({
                "issuer": issuer, "audiences": ["api"], "local_jwks": {"inline_string": key.to_string()},
                "from_headers": [{"name": header, "value_prefix": prefix}],
            })
        };
        let config = json!({
            "providers": {
                "corp": provider("https://corp.example", "authorization", "Bearer "),
                "partner": provider("https://partner.example", "x-partner", ""),
            },
            "rules": rules(),
        });
        Config::parse(config.to_string().as_bytes())
            .expect("a configuration")
            .into()
    }
    thread_local! {
        static CONFIG: Rc<Config> = parse();
    }
    CONFIG.with(Rc::clone)
}

/// The credentials of the clients: none, or tokens that permit some of the requests.
fn credentials() -> Rc<[Fields]> {
    fn make() -> Rc<[Fields]> {
        let token = |claims: Value| {
            let header = json!({"alg": "EdDSA", "kid": "ed"}).to_string();
            let parts = [header.as_bytes(), claims.to_string().as_bytes(), &[b's'; 64]].map(segment);
            parts.join(".")
        };
        let of = |more: &str| {
            let mut claims = json!({"iss": "https://corp.example", "aud": "api", "sub": "a", "exp": NOW + 60, "tenant": "acme"});
            claims["scope"] = more.into();
            ("authorization", format!("Bearer {}", token(claims)).into_bytes())
        };
        let partner =
            token(json!({"iss": "https://partner.example", "aud": "api", "sub": "b", "exp": NOW + 60}));
        let partner = ("x-partner", partner.into_bytes());
        [
            vec![],
            vec![of("")],
            vec![of("admin")],
            vec![of("write debug")],
            vec![partner.clone()],
            vec![of(""), partner.clone()],
            vec![of("admin write debug"), partner],
        ]
        .into()
    }
    thread_local! {
        static CREDENTIALS: Rc<[Fields]> = make();
    }
    CREDENTIALS.with(Rc::clone)
}

impl PairRequest {
    /// A request that every server reads alike.
    fn plain(bytes: &mut Bytes<'_>) -> Self {
        let path = bytes.pick(&PATHS).as_bytes().to_vec();
        let mut names = NAMES.to_vec();
        let pairs = (0..bytes.below(4))
            .map(|_| {
                let name = names.swap_remove(bytes.below(names.len()));
                (
                    b'&',
                    name.as_bytes().to_vec(),
                    bytes.pick(&VALUES).as_bytes().to_vec(),
                )
            })
            .collect();
        let mut headers = Vec::new();
        if bytes.below(2) == 1 {
            headers.push(("x-env", bytes.pick(&ENVIRONMENTS).as_bytes().to_vec()));
        }
        Self {
            is_prefix: path != b"/exact",
            method: bytes.pick(&METHODS).as_bytes().to_vec(),
            hosts: vec![bytes.pick(&HOSTS).as_bytes().to_vec()],
            path,
            mark: "?",
            pairs,
            headers,
        }
    }

    fn head(&self, config: &Config, credentials: &[(&'static str, Vec<u8>)]) -> RequestHead {
        let mut path = self.path.clone();
        for (number, (separator, name, value)) in self.pairs.iter().enumerate() {
            match number {
                0 => path.extend_from_slice(self.mark.as_bytes()),
                _ => path.push(*separator),
            }
            path.extend_from_slice(name);
            if !value.is_empty() {
                path.push(b'=');
                // A value that is written out has its spaces encoded.
                for byte in value {
                    match byte {
                        b' ' => path.extend_from_slice(b"%20"),
                        byte => path.push(*byte),
                    }
                }
            }
        }
        let mut head = RequestHead::new();
        let mut push = |name: &str, value: &[u8]| {
            if let Some(field) = config.wanted.find(name.as_bytes()) {
                head.push(field, value);
            }
        };
        push(":method", &self.method);
        push(":path", &path);
        self.hosts.iter().for_each(|host| push(":authority", host));
        for (name, value) in self.headers.iter().chain(credentials) {
            push(name, value);
        }
        head
    }

    /// Another request that some server treats as this one, directly or by several such steps.
    fn vary(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.below(8) {
            0..=2 => vary_path(&mut self.path, self.is_prefix, bytes),
            3 => self.vary_method(bytes),
            4 => self.vary_host(bytes),
            5 | 6 => self.vary_query(bytes),
            _ => self.vary_headers(bytes),
        }
    }

    fn vary_method(&mut self, bytes: &mut Bytes<'_>) {
        let at = bytes.below(self.method.len());
        match bytes.below(3) {
            0 => self.method.make_ascii_lowercase(),
            1 => self.method[at].make_ascii_lowercase(),
            _ => self.method.push(b' '),
        }
    }

    fn vary_host(&mut self, bytes: &mut Bytes<'_>) {
        let [host] = self.hosts.as_mut_slice() else { return };
        let is_address = host.starts_with(b"[");
        let end = if is_address {
            host.iter()
                .rposition(|byte| *byte == b']')
                .map_or(host.len(), |at| at + 1)
        } else {
            host.iter().position(|byte| *byte == b':').unwrap_or(host.len())
        };
        let is_pure = end == host.len();
        match bytes.below(9) {
            0 => host.make_ascii_uppercase(),
            1 => {
                let at = bytes.below(host.len());
                host[at].make_ascii_uppercase();
            }
            2 if !is_address && !host[..end].ends_with(b".") => host.insert(end, b'.'),
            3 if is_pure => {
                host.extend_from_slice(bytes.pick(&["", ":80", ":443", ":8080", ":08080"]).as_bytes())
            }
            4 if !is_pure => host.insert(end + 1, b'0'),
            5 => host.splice(0..0, *b"user@").for_each(drop),
            6 => host.extend_from_slice(bytes.pick(&[":", ":80:80", ":x", ",other.example"]).as_bytes()),
            7 => {
                let at = bytes.below(end);
                let escape = format!("%{:02x}", host[at]);
                host.splice(at..=at, escape.bytes()).for_each(drop);
            }
            _ => match host.as_slice() {
                b"[2001:db8::1]" => {
                    let long = [
                        "[2001:DB8:0::1]",
                        "[2001:0db8:0:0:0:0:0:0001]",
                        "[2001:db8::0.0.0.1]",
                    ];
                    *host = bytes.pick(&long).as_bytes().to_vec();
                }
                b"127.0.0.1" => {
                    let odd = [
                        "127.1",
                        "0177.0.0.1",
                        "0x7f000001",
                        "2130706433",
                        "[::ffff:127.0.0.1]",
                        "127.0.0.1.",
                    ];
                    *host = bytes.pick(&odd).as_bytes().to_vec();
                }
                _ => {
                    let other = b"other.example".to_vec();
                    let at = bytes.below(2);
                    self.hosts.insert(at, other);
                }
            },
        }
    }

    fn vary_query(&mut self, bytes: &mut Bytes<'_>) {
        let count = self.pairs.len();
        if count == 0 {
            self.pairs.push((b'&', b"unknown".to_vec(), b"1".to_vec()));
            return;
        }
        let at = bytes.below(count);
        let (_, name, value) = &mut self.pairs[at];
        match bytes.below(12) {
            10 if value.starts_with(b"secret") => {
                let strange = bytes.pick::<&[u8]>(STRANGE);
                value.extend_from_slice(strange);
            }
            0 => encode(name, bytes),
            1 => encode(value, bytes),
            2 => {
                let other = bytes.below(count);
                // The order of parameters with the same name matters, so it does not change.
                let is_one = |pair: &(u8, Vec<u8>, Vec<u8>)| {
                    self.pairs.iter().filter(|other| other.1 == pair.1).count() == 1
                };
                if is_one(&self.pairs[at]) && is_one(&self.pairs[other]) {
                    self.pairs.swap(at, other);
                }
            }
            // Some servers take the first, others the last.
            3 => {
                let again = (b'&', name.clone(), bytes.pick(&VALUES).as_bytes().to_vec());
                let at = if bytes.below(2) == 0 { 0 } else { count };
                self.pairs.insert(at, again);
            }
            4 => self.pairs[at].0 = b';',
            5 => value
                .iter_mut()
                .filter(|byte| **byte == b' ')
                .for_each(|byte| *byte = b'+'),
            6 => name.extend_from_slice(bytes.pick(&["[]", "[0]", "%5B%5D", "%00x"]).as_bytes()),
            7 => name.insert(0, b'+'),
            8 => name.make_ascii_uppercase(),
            9 => name
                .iter_mut()
                .filter(|byte| **byte == b'_')
                .for_each(|byte| *byte = b'.'),
            _ => self.mark = *bytes.pick(&["%3f", "%3F", "%253f"]),
        }
    }

    fn vary_headers(&mut self, bytes: &mut Bytes<'_>) {
        let other = bytes.pick(&["", "other", "test", "x"]).as_bytes().to_vec();
        let Some((_, value)) = self.headers.first_mut() else {
            return;
        };
        // A comparison of the whole value and a search for a part of it both find the plain value.
        let holds_more = value.windows(6).any(|part| part == b"secret");
        match bytes.below(8) {
            6 if holds_more => value.extend_from_slice(bytes.pick::<&[u8]>(STRANGE)),
            7 if value.ends_with(b"secret") => value
                .splice(0..0, bytes.pick::<&[u8]>(STRANGE).iter().copied())
                .for_each(drop),
            0 => self.headers.insert(0, ("x-env", other)),
            1 => self.headers.push(("x-env", other)),
            2 => value.extend([b",", other.as_slice()].concat()),
            3 => value
                .splice(0..0, [other.as_slice(), b", "].concat())
                .for_each(drop),
            4 => value.push(*bytes.pick(b" \t")),
            _ => value.insert(0, *bytes.pick(b" \t")),
        }
    }
}

/// No UTF-8.
const STRANGE: &[&[u8]] = &[b"\xff", b"\xc3", b"\xa9", b"\xed\xa0\x80", b"\xf8\x88"];

/// One more change that a server reverts before it evaluates a path.
fn vary_path(path: &mut Vec<u8>, is_prefix: bool, bytes: &mut Bytes<'_>) {
    let kind = bytes.below(22);
    let at = bytes.below(path.len());
    let slashes: Vec<usize> = (0..path.len()).filter(|at| path[*at] == b'/').collect();
    let slash = *bytes.pick(&slashes);
    // A name, and not the digits of an escape: three dots are not two.
    let is_name = |before: &[u8]| {
        before.last().is_some_and(u8::is_ascii_alphanumeric)
            && !before[before.len().saturating_sub(3)..].contains(&b'%')
    };
    let path_before_is_name = is_name(&path[..slash]);
    let byte = path[at];
    // Neither in an escape nor after one: together with the escape, an inserted byte may be a character.
    let is_in_name = byte.is_ascii_alphanumeric()
        && at > 1
        && path[at - 1].is_ascii()
        && !path[at.saturating_sub(3)..at].contains(&b'%');
    let end = path.len();
    let ends_in_name = is_name(path);
    let has_authority = matches!(path.as_slice(), [b'/', b'/' | b'\\', ..]);
    let mut put =
        |range: std::ops::Range<usize>, text: &[u8]| path.splice(range, text.iter().copied()).for_each(drop);
    let escaped = |octets: &[u8]| -> String { octets.iter().map(|octet| format!("%{octet:02x}")).collect() };
    match kind {
        // The first slash stays, because no path without it reaches a filter.
        0 if at > 0 => put(at..at + 1, escaped(&[byte]).as_bytes()),
        1 if at > 0 => put(at..at + 1, escaped(&[byte]).to_ascii_uppercase().as_bytes()),
        // A server that merges slashes leaves no authority, so no server reverts this change and then drops
        // an authority.
        2 if !has_authority => put(slash..slash, b"/"),
        3 => put(slash..slash, b"/."),
        4 => put(slash..slash, b"/u/.."),
        5 if slash > 0 => put(slash..slash, b";v=1"),
        6 => put(end..end, b";v=1"),
        7 if slash > 0 => put(slash..slash + 1, b"\\"),
        8 => put(0..0, bytes.pick(&["//u", "///u@v:1", "/\\u", "/\\/u"]).as_bytes()),
        9 if byte.is_ascii() && at > 0 => {
            let (high, low) = (byte >> 6, 0x80 | byte & 0x3f);
            let overlong: [&[u8]; 3] = [
                &[0xc0 | high, low],
                &[0xe0, 0x80 | high, low],
                &[0xf0, 0x80, 0x80 | high, low],
            ];
            put(at..at + 1, escaped(overlong[bytes.below(3)]).as_bytes());
        }
        10 if byte.is_ascii_graphic() && at > 0 => {
            let wide = char::from_u32(u32::from(byte) + 0xfee0)
                .expect("a character")
                .to_string();
            match bytes.below(2) {
                0 => put(at..at + 1, wide.as_bytes()),
                _ => put(at..at + 1, escaped(wide.as_bytes()).as_bytes()),
            }
        }
        11 if byte.is_ascii() && at > 0 => put(at..at + 1, format!("%u{byte:04x}").as_bytes()),
        12 if at > 0 => put(at..at, bytes.pick(&["%09", "%0a", "%0D"]).as_bytes()),
        13 => put(
            end..end,
            bytes.pick(&["%0a", "%20", "%00u", "%3fu", "%23/u"]).as_bytes(),
        ),
        14 if ends_in_name => put(end..end, b"."),
        15 if is_prefix => put(end..end, bytes.pick::<&[u8]>(STRANGE)),
        16 if is_prefix => {
            let strange = escaped(bytes.pick::<&[u8]>(STRANGE));
            put(end..end, strange.as_bytes());
        }
        // The servers that drop such bytes.
        20 if is_in_name => {
            put(
                at..at,
                bytes
                    .pick(&["%ff", "%ad", "%c3", "%e2%82", "%ed%a0%80"])
                    .as_bytes(),
            );
        }
        21 if ends_in_name => put(end..end, b"/"),
        // At the end of any segment that is a name.
        17..=19 if slash > 0 && path_before_is_name => {
            let endings = [
                ".",
                "%20",
                "%20.",
                "%c2%a0",
                "%E3%80%80",
                "\u{2003}",
                "::$DATA",
                ":$I30:$INDEX_ALLOCATION",
                "%00",
                "%00.png",
                ";a=b",
                "%3bx",
                "%1f",
                "%09.",
            ];
            put(slash..slash, bytes.pick(&endings).as_bytes());
        }
        _ => {}
    }
}

/// Encodes one byte of a name or a value; a plus sign is a space already.
fn encode(text: &mut Vec<u8>, bytes: &mut Bytes<'_>) {
    let at = bytes.below(text.len());
    if let Some(byte) = text.get(at).copied().filter(|byte| *byte != b'+') {
        let escape = match bytes.below(2) {
            0 => format!("%{byte:02x}"),
            _ => format!("%{byte:02X}"),
        };
        text.splice(at..=at, escape.bytes()).for_each(drop);
    }
}

/// The most variations.
const MOST: usize = 6;

fn pair(bytes: &[u8]) -> (PairRequest, PairRequest) {
    let mut bytes = Bytes(bytes);
    let plain = PairRequest::plain(&mut bytes);
    let mut variant = plain.clone();
    for _ in 0..MOST {
        if bytes.0.is_empty() {
            break;
        }
        variant.vary(&mut bytes);
    }
    (plain, variant)
}

/// For each of the credentials, whether the plain request and its variant pass.
fn outcomes(plain: &PairRequest, variant: &PairRequest) -> Vec<(bool, bool)> {
    let config = config();
    let mut engine = Authenticator::new(config.clone(), 1).with_verifier(Rc::new(Says(true)));
    let mut goes_on = |asked: &PairRequest, credentials: &[(&'static str, Vec<u8>)]| {
        let mut head = asked.head(&config, credentials);
        match engine.handle_request(
            StreamId(1),
            &mut head,
            &(),
            UnixTime::from_secs(NOW),
            &InMemoryStore::default(),
        ) {
            Decision::Allow(_) => true,
            Decision::Deny(_) => false,
            other => panic!("{other:?}"),
        }
    };
    let both = |credentials: &Vec<_>| (goes_on(plain, credentials), goes_on(variant, credentials));
    credentials().iter().map(both).collect()
}

/// The bytes choose a plain request and up to six variations of it, each of which some server undoes.
pub fn pairs(bytes: &[u8]) {
    let (plain, variant) = pair(bytes);
    for (number, (plainly, varied)) in outcomes(&plain, &variant).into_iter().enumerate() {
        assert!(
            plainly || !varied,
            "with credentials {number}\n{}\ngets more than\n{}",
            shown(&variant),
            shown(&plain)
        );
    }
}

fn shown(asked: &PairRequest) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let hosts: Vec<String> = asked.hosts.iter().map(|host| text(host)).collect();
    let pairs: Vec<String> = asked
        .pairs
        .iter()
        .map(|(separator, name, value)| format!("{}{}={}", char::from(*separator), text(name), text(value)))
        .collect();
    let headers: Vec<String> = asked
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", text(value)))
        .collect();
    format!(
        "  {} {}{}{} on {hosts:?} with {headers:?}",
        text(&asked.method),
        text(&asked.path),
        asked.mark,
        pairs.concat()
    )
}

/// Inputs of this many bytes that are always the same.
#[cfg(test)]
pub(crate) fn inputs(count: usize, length: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33).to_le_bytes()[0]
    };
    (0..count).map(move |_| (0..length).map(|_| next()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_variant_gets_more_than_its_request() {
        let (mut refused, mut passed, mut varied) = (0, 0, 0);
        for input in inputs(4_000, 40) {
            let (plain, variant) = pair(&input);
            varied += usize::from(plain != variant);
            for (plainly, otherwise) in outcomes(&plain, &variant) {
                refused += usize::from(!plainly);
                passed += usize::from(otherwise);
            }
            pairs(&input);
        }
        // If the filter refused all requests, the test would prove nothing.
        assert!(
            refused > 5_000 && passed > 2_000 && varied > 3_500,
            "{refused} {passed} {varied}"
        );
    }

    #[test]
    fn plain_requests_are_let_through_by_what_their_rules_ask() {
        let mut passing = vec![0; credentials().len()];
        for input in inputs(2_000, 40) {
            let (plain, _) = pair(&input);
            for (count, (plainly, again)) in passing.iter_mut().zip(outcomes(&plain, &plain)) {
                assert_eq!(plainly, again);
                *count += usize::from(plainly);
            }
        }
        // More credentials permit more requests. All of them together permit all requests except those of
        // other tenants.
        assert!(
            passing[0] > 50 && passing[1] > passing[0] && passing[2] > passing[1],
            "{passing:?}"
        );
        assert!(passing[6] > 1_800, "{passing:?}");
    }
}
