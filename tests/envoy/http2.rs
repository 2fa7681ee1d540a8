//! Requests that HTTP/2 permits and HTTP/1.1 does not: methods in lower case, spaces around values,
//! unannounced trailers.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::EnvoyOptions;

use super::{Stack, assert_alive};
use scenarios::{local_provider, remote_provider, token, with};

/// RFC 9113 section 6: the frames that this test writes or reads.
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
/// RFC 9113 section 3.4: how a client begins a connection.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// RFC 7541 section 6.2.2, without Huffman's code.
fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        // Section 5.1: an integer with a prefix of 7 bits.
        match text.len().checked_sub(127) {
            None => field.push(u8::try_from(text.len()).expect("short")),
            Some(mut rest) => {
                field.push(127);
                while rest >= 128 {
                    field.push(u8::try_from(rest % 128 + 128).expect("a byte"));
                    rest /= 128;
                }
                field.push(u8::try_from(rest).expect("a byte"));
            }
        }
        field.extend_from_slice(text);
    }
    field
}

pub(super) fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let fields = fields.iter();
    fields
        .flat_map(|(name, value)| literal(name.as_bytes(), value))
        .collect()
}

/// The body of the answer to a request of these fields; empty where there is none or the stream is reset.
fn ask(addr: SocketAddr, fields: &[(&str, &[u8])]) -> String {
    send(addr, &frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(fields)))
}

/// The same for a request with a body and these trailers.
fn ask_with_trailers(addr: SocketAddr, fields: &[(&str, &[u8])], trailers: &[(&str, &[u8])]) -> String {
    let frames = [
        frame(HEADERS, END_HEADERS, 1, &block(fields)),
        frame(DATA, 0, 1, b"body"),
        frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(trailers)),
    ];
    send(addr, &frames.concat())
}

fn send(addr: SocketAddr, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(addr).expect("a connection");
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    let mut sent = PREFACE.to_vec();
    sent.extend(frame(SETTINGS, 0, 0, &[]));
    sent.extend_from_slice(request);
    socket.write_all(&sent).expect("it is sent");
    let mut body = Vec::new();
    loop {
        let mut head = [0; 9];
        if socket.read_exact(&mut head).is_err() {
            break;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).expect("a length")];
        socket.read_exact(&mut payload).expect("a frame");
        let (kind, flags) = (head[3], head[4]);
        match kind {
            SETTINGS if flags & ACK == 0 => {
                socket
                    .write_all(&frame(SETTINGS, ACK, 0, &[]))
                    .expect("an answer");
            }
            DATA => body.extend(payload),
            RST_STREAM | GOAWAY => break,
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            break;
        }
    }
    String::from_utf8(body).expect("text")
}

fn reason(body: &str) -> Value {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    body["reason"].clone()
}

#[test]
fn a_method_in_lower_case_and_a_value_with_spaces_pass_no_rule_by() {
    let corp = || json!({"provider_name": "corp"});
    let scoped = json!({"scopes": {"all": ["write"]}});
    let header = |name: &str, value: &str| json!([{"name": name, "string_match": {"exact": value}}]);
    let config = json!({
        "providers": {"corp": local_provider()},
        "rules": [
            {"match": {"prefix": "/", "methods": ["POST"]}, "requires": corp(), "authorize": scoped},
            {"match": {"prefix": "/", "headers": header(":method", "DELETE")}, "requires": corp(), "authorize": scoped},
            {"match": {"prefix": "/", "headers": header("x-env", "prod")}, "requires": corp(), "authorize": scoped},
            {"match": {"prefix": "/", "hosts": ["admin.example"]}, "requires": corp(), "authorize": scoped},
            {"match": {"prefix": "/open", "methods": ["GET", "PATCH"]}},
            {"match": {"prefix": "/free", "not": {"methods": ["DELETE"]}}},
            {"match": {"prefix": "/"}, "requires": corp()},
        ],
    });
    let stack = Stack::start_with(config, &EnvoyOptions::default());
    let addr = stack.client.addr();
    let bearer = |scope: &str| format!("Bearer {}", token().claim("scope", scope).mint());
    let (weak, strong) = (bearer("read"), bearer("write"));
    let request = |method: &'static str, path: &'static str, host: &'static str| {
        vec![
            (":method", method.as_bytes()),
            (":scheme", b"http"),
            (":authority", host.as_bytes()),
            (":path", path.as_bytes()),
        ]
    };
    let to = |method| request(method, "/orders", "a");

    // The successful requests show that the others could have reached the upstream.
    let mut forwarded = 0;
    for method in ["GET", "get", "PATCH", "patch"] {
        let mut fields = to(method);
        fields.push(("authorization", weak.as_bytes()));
        assert_eq!(reason(&ask(addr, &fields)), Value::Null, "{method}");
        forwarded += 1;
        assert_eq!(stack.upstream.count(), forwarded, "{method}");
    }
    for method in ["POST", "post", "Post", "pOST", "DELETE", "delete"] {
        let mut fields = to(method);
        fields.push(("authorization", weak.as_bytes()));
        assert_eq!(reason(&ask(addr, &fields)), "scope_insufficient", "{method}");
        fields[4] = ("authorization", strong.as_bytes());
        assert_eq!(reason(&ask(addr, &fields)), Value::Null, "{method}");
        forwarded += 1;
    }
    for value in ["prod", " prod", "prod\t", "x, prod ", "\tprod,x"] {
        let mut fields = to("GET");
        fields.push(("authorization", weak.as_bytes()));
        fields.push(("x-env", value.as_bytes()));
        assert_eq!(reason(&ask(addr, &fields)), "scope_insufficient", "{value:?}");
    }
    for host in [
        "Admin.example.",
        "admin.example:80:80",
        "admin%2eexample",
        "b,admin.example",
        "[::1",
    ] {
        let mut fields = request("GET", "/orders", host);
        fields.push(("authorization", weak.as_bytes()));
        assert_eq!(reason(&ask(addr, &fields)), "scope_insufficient", "{host}");
    }
    // A rule that waives the token waives it for the named method only.
    assert_eq!(reason(&ask(addr, &request("PATCH", "/open", "a"))), Value::Null);
    assert_eq!(
        reason(&ask(addr, &request("patch", "/open", "a"))),
        "token_missing"
    );
    // Some servers take `put` for PUT, and neither is DELETE; some take `delete` for DELETE.
    assert_eq!(reason(&ask(addr, &request("put", "/free", "a"))), Value::Null);
    assert_eq!(
        reason(&ask(addr, &request("delete", "/free", "a"))),
        "token_missing"
    );
    forwarded += 2;
    assert_eq!(stack.upstream.count(), forwarded);
    assert_alive(&stack.envoy);
}

#[test]
fn trailers_that_servers_take_for_headers_never_arrive() {
    let claims = json!({"claim_to_headers": [{"claim_name": "sub", "header_name": "x-jwt-sub"}]});
    let config = json!({
        "providers": {"corp": with(remote_provider(), claims)},
        "rules": [{"match": {"path": "/open"}}, {"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}],
    });
    let stack = Stack::start_with(config, &EnvoyOptions::default());
    let bearer = format!("Bearer {}", token().mint());
    for path in ["/open", "/orders"] {
        let fields: [(&str, &[u8]); 5] = [
            (":method", b"POST"),
            (":scheme", b"http"),
            (":authority", b"a"),
            (":path", path.as_bytes()),
            ("authorization", bearer.as_bytes()),
        ];
        let trailers: [(&str, &[u8]); 5] = [
            ("x-jwt-sub", b"root"),
            ("x_jwt_sub", b"root"),
            ("x.jwt.sub", b"root"),
            ("authorization", b"Bearer x"),
            ("x-checksum", b"1"),
        ];
        let echo = ask_with_trailers(stack.client.addr(), &fields, &trailers);
        let echo: Value = serde_json::from_str(&echo).unwrap_or_else(|_| panic!("{path}: {echo}"));
        assert_eq!(echo["trailers"], json!([["x-checksum", "1"]]), "{path}");
    }
    assert_alive(&stack.envoy);
}
