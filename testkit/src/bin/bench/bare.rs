//! Modules that only make host calls: the least cost of any module.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use testkit::{Algorithm, SigningKey};

/// The address at which the module's data begins. The host's results are written behind it.
const DATA: usize = 1024;
const RETURNED: usize = 65536;
/// The address at which the host writes addresses and numbers.
const OUT: usize = 16;
const METRIC: usize = 32;

/// The host calls of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call<'c> {
    /// To read a header of the request.
    Header(&'c str),
    RouteMetadata,
    Clock,
    Remove(&'c str),
    Replace(&'c str, &'c str),
    Count,
    State(&'c str, &'c str),
    Verify(&'c Signed),
    /// Status 401.
    Refuse,
}

/// An argument that Envoy's `verify_signature` accepts.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Signed {
    #[prost(string, tag = "1")]
    hash: String,
    #[prost(bytes, tag = "2")]
    key: Vec<u8>,
    #[prost(bytes, tag = "3")]
    signature: Vec<u8>,
    #[prost(bytes, tag = "4")]
    text: Vec<u8>,
}

impl Signed {
    /// A text of a token's length, signed with this key.
    pub(crate) fn new(key: &SigningKey) -> Self {
        let text = vec![b'e'; 480];
        let signature = key.sign(key.algorithm(), &text);
        let signature = match key.algorithm() {
            Algorithm::Es256 => der(&signature),
            _ => signature,
        };
        Self {
            hash: "sha256".into(),
            key: key.public_der(),
            signature,
            text,
        }
    }
}

/// An ECDSA signature, `r || s`, as the DER that the host reads.
fn der(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(signature.len() / 2);
    let integer = |number: &[u8]| {
        let first = number.iter().position(|byte| *byte != 0).unwrap_or(0);
        let sign = if number[first] & 0x80 == 0 { &[][..] } else { &[0] };
        let length = u8::try_from(sign.len() + number.len() - first).expect("a short number");
        [&[0x02, length], sign, &number[first..]].concat()
    };
    let numbers = [integer(r), integer(s)].concat();
    let length = u8::try_from(numbers.len()).expect("two short numbers");
    [&[0x30, length][..], &numbers].concat()
}

/// The module's text while it is written.
#[derive(Default)]
struct Module {
    body: String,
    data: Vec<u8>,
}

impl Module {
    /// The address and the length of these bytes.
    fn bytes(&mut self, bytes: &[u8]) -> String {
        let address = DATA + self.data.len();
        self.data.extend_from_slice(bytes);
        format!("(i32.const {address}) (i32.const {})", bytes.len())
    }

    fn call(&mut self, call: &Call<'_>) {
        let out = format!("(i32.const {OUT}) (i32.const {})", OUT + 4);
        let call = match call {
            Call::Header(name) => format!(
                "(call $header (i32.const 0) {} {out})",
                self.bytes(name.as_bytes())
            ),
            Call::RouteMetadata => {
                let path = b"xds\0route_metadata\0filter_metadata\0proxy-wasm-jwt";
                format!("(call $property {} {out})", self.bytes(path))
            }
            Call::Clock => format!("(call $clock (i32.const {}))", OUT + 8),
            Call::Remove(name) => format!("(call $remove (i32.const 0) {})", self.bytes(name.as_bytes())),
            Call::Replace(name, value) => {
                let (name, value) = (self.bytes(name.as_bytes()), self.bytes(value.as_bytes()));
                format!("(call $replace (i32.const 0) {name} {value})")
            }
            Call::Count => format!("(call $count (i32.load (i32.const {METRIC})) (i64.const 1))"),
            Call::State(name, value) => {
                let (name, value) = (self.bytes(name.as_bytes()), self.bytes(value.as_bytes()));
                format!("(call $state {name} {value})")
            }
            Call::Verify(signed) => {
                let (name, argument) = (
                    self.bytes(b"verify_signature"),
                    self.bytes(&signed.encode_to_vec()),
                );
                format!("(call $foreign {name} {argument} {out})")
            }
            Call::Refuse => {
                let details = self.bytes(b"jwt_token_missing");
                let body = self.bytes(
                    br#"{"error_description":"the request carries no token","reason":"token_missing"}"#,
                );
                let headers = self.bytes(&pairs(&[
                    ("www-authenticate", "Bearer realm=\"jwt\""),
                    ("content-type", "application/json"),
                ]));
                format!("(call $reply (i32.const 401) {details} {body} {headers} (i32.const 16))")
            }
        };
        let _ = writeln!(self.body, "(drop {call})");
    }
}

/// A map as the ABI has it: the number of pairs, the lengths, then names and values, each with a NUL after
/// it.
fn pairs(pairs: &[(&str, &str)]) -> Vec<u8> {
    let size = |number: usize| u32::try_from(number).expect("a small number").to_le_bytes();
    let mut bytes = size(pairs.len()).to_vec();
    for (name, value) in pairs {
        bytes.extend([size(name.len()), size(value.len())].concat());
    }
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(text.bytes().chain([0]));
    }
    bytes
}

/// Writes a module that makes these calls for each request, and enters the same callbacks as ours.
pub(crate) fn write(path: &Path, calls: &[Call<'_>]) -> PathBuf {
    let mut module = Module::default();
    for call in calls {
        module.call(call);
    }
    let metric = module.bytes(b"bare");
    let is_refused = calls.iter().any(|call| matches!(call, Call::Refuse));
    let data: String = module.data.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let text = format!(
        r#"(module
            (import "env" "proxy_get_header_map_value" (func $header (param i32 i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_get_current_time_nanoseconds" (func $clock (param i32) (result i32)))
            (import "env" "proxy_remove_header_map_value" (func $remove (param i32 i32 i32) (result i32)))
            (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_increment_metric" (func $count (param i32 i64) (result i32)))
            (import "env" "proxy_set_property" (func $state (param i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 2)
            (func (export "_initialize"))
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const {RETURNED}))
            (func (export "proxy_on_context_create") (param i32 i32))
            (func (export "proxy_on_configure") (param i32 i32) (result i32)
                (drop (call $define (i32.const 0) {metric} (i32.const {METRIC}))) (i32.const 1))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                {} (i32.const {}))
            (func (export "proxy_on_delete") (param i32))
            (data (i32.const {DATA}) "{data}"))"#,
        module.body,
        u8::from(is_refused),
    );
    let bytes = wat::parse_str(&text).expect("a module");
    fs::write(path, bytes).expect("the module is written");
    path.to_owned()
}
