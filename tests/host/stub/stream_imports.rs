//! The imports for a request: its headers, its state, its end.

use super::calls::{call, give, passed, passed_text};
use super::{BAD_ARGUMENT, Crypto, HOST, HeaderMap, Host, INTERNAL_FAILURE, NOT_FOUND, OK, Reply, State};

impl Host {
    /// The map with this number. The maps of the stream exist only while the stub holds the stream.
    fn map(&mut self, map: u32) -> Option<&mut HeaderMap> {
        match map {
            0 => self
                .stream()
                .filter(|stream| stream.state != State::Forwarded)
                .map(|stream| &mut stream.headers),
            // Envoy holds these by itself.
            1 => self.stream().map(|stream| &mut stream.trailers),
            6 => self.answer.as_mut().map(|(headers, _)| headers),
            _ => None,
        }
    }
}

impl Host {
    fn mark_edited(&mut self) {
        if let Some(stream) = self.stream() {
            stream.is_edited = true;
        }
    }
}

fn map_name(map: u32) -> &'static str {
    match map {
        0 => "header",
        1 => "trailer",
        6 => "answer's header",
        _ => "unknown map",
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_header_map_pairs(map: u32, data: &mut *mut u8, size: &mut usize) -> u32 {
    let words = format!("all of the {}s", map_name(map));
    // A map that is not there is an empty one here, and no error.
    call("proxy_get_header_map_pairs", words, |host| {
        let bytes = host.map(map).map(|map| map.to_bytes()).unwrap_or_default();
        give(&bytes, data, size)
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_header_map_value(
    map: u32,
    key: *const u8,
    key_size: usize,
    data: &mut *mut u8,
    size: &mut usize,
) -> u32 {
    let key = passed_text(key, key_size);
    let words = format!("{} {key}", map_name(map));
    call("proxy_get_header_map_value", words, |host| match host.map(map) {
        None => BAD_ARGUMENT,
        Some(map) => match map.first(&key) {
            None => NOT_FOUND,
            Some(value) => give(value, data, size),
        },
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_replace_header_map_value(
    map: u32,
    key: *const u8,
    key_size: usize,
    value: *const u8,
    value_size: usize,
) -> u32 {
    let (key, value) = (passed_text(key, key_size), passed(value, value_size));
    let words = format!("set {key}: {}", String::from_utf8_lossy(&value));
    call("proxy_replace_header_map_value", words, |host| {
        if value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            host.misuse(format!("{key} is no header value"));
        }
        match host.map(map) {
            None => BAD_ARGUMENT,
            Some(map) => {
                map.replace(&key, &value);
                host.mark_edited();
                OK
            }
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32 {
    let key = passed_text(key, key_size);
    let words = match map {
        0 => format!("remove {key}"),
        map => format!("remove {} {key}", map_name(map)),
    };
    call("proxy_remove_header_map_value", words, |host| {
        match host.map(map) {
            None => BAD_ARGUMENT,
            Some(map) => {
                map.remove(&key);
                host.mark_edited();
                OK
            }
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_property(
    path: *const u8,
    path_size: usize,
    data: &mut *mut u8,
    size: &mut usize,
) -> u32 {
    let path = passed_text(path, path_size).replace('\0', ".");
    let words = format!("property {path}");
    call("proxy_get_property", words, |host| {
        if host.stream().is_none() {
            host.misuse(format!("the property {path} of no stream"));
        }
        let is_rerouted = host
            .stream()
            .is_some_and(|stream| stream.is_edited && stream.is_answering);
        let properties = match &host.rerouted {
            Some(rerouted) if is_rerouted => rerouted,
            _ => &host.properties,
        };
        match properties.get(&path) {
            None => NOT_FOUND,
            Some(value) => give(value, data, size),
        }
    })
}

/// Envoy's own, by another implementation. The known-answer tests of a configuration are left out of the
/// story: they are many, and always the same.
fn verify_signature(argument: &[u8], data: &mut *mut u8, size: &mut usize) -> u32 {
    let is_of_a_request =
        HOST.with_borrow_mut(|host| host.as_mut().is_some_and(|host| host.stream().is_some()));
    let act = |host: &mut Host| match host.crypto {
        Crypto::Envoys => give(&testkit::verify_signature(argument), data, size),
        Crypto::SaysYes => give(&[0x08, 0x01], data, size),
        Crypto::Babbles => give(b"yes", data, size),
        Crypto::None => NOT_FOUND,
    };
    if is_of_a_request {
        call("proxy_call_foreign_function", "verify_signature".into(), act)
    } else {
        HOST.with_borrow_mut(|host| host.as_mut().map_or(INTERNAL_FAILURE, act))
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_call_foreign_function(
    name: *const u8,
    name_size: usize,
    argument: *const u8,
    argument_size: usize,
    data: &mut *mut u8,
    size: &mut usize,
) -> u32 {
    let (name, argument) = (passed_text(name, name_size), passed(argument, argument_size));
    let words = name.clone();
    if name == "verify_signature" {
        return verify_signature(&argument, data, size);
    }
    call("proxy_call_foreign_function", words, |host| match name.as_str() {
        "clear_route_cache" => {
            if !argument.is_empty() || host.stream().is_none_or(|stream| stream.state != State::Open) {
                host.misuse("a route cache is cleared that is not there");
            }
            give(b"", data, size)
        }
        _ => NOT_FOUND,
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_property(
    path: *const u8,
    path_size: usize,
    value: *const u8,
    value_size: usize,
) -> u32 {
    let (path, value) = (passed_text(path, path_size), passed(value, value_size));
    let words = format!("state {path}: {}", String::from_utf8_lossy(&value));
    call("proxy_set_property", words, |host| match host.stream() {
        None => {
            host.misuse(format!("the state {path} of no stream"));
            NOT_FOUND
        }
        Some(stream) => {
            stream.filter_state.insert(path, value);
            OK
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_continue_stream(stream: u32) -> u32 {
    call("proxy_continue_stream", "resume".into(), |host| {
        if stream != 0 {
            return BAD_ARGUMENT;
        }
        match host.stream() {
            None => host.misuse("resumed no stream"),
            Some(stream) => match stream.state {
                State::Open => stream.state = State::Forwarded,
                State::Forwarded => host.misuse("resumed twice"),
                State::Answered => host.misuse("resumed after a reply"),
            },
        }
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_send_local_response(
    status: u32,
    details: *const u8,
    details_size: usize,
    body: *const u8,
    body_size: usize,
    headers: *const u8,
    headers_size: usize,
    grpc_status: i32,
) -> u32 {
    let details = passed_text(details, details_size);
    let body = passed(body, body_size);
    let headers = HeaderMap::from_bytes(&passed(headers, headers_size));
    let words = format!("reply {status} {details}");
    call("proxy_send_local_response", words, |host| {
        // google.rpc.Code; -1 leaves it to Envoy, which would take a 400 for a fault of its own.
        if !(-1..=16).contains(&grpc_status) || grpc_status == 0 {
            host.misuse(format!("gRPC status {grpc_status}"));
        }
        let Some(headers) = headers else {
            host.misuse("a reply's headers are no map");
            return OK;
        };
        let speaker = if host.effective == 0 {
            host.current
        } else {
            host.effective
        };
        match host.stream() {
            None => host.misuse("a reply to no stream"),
            Some(stream) => match stream.state {
                State::Forwarded if !stream.is_answering => host.misuse("a reply after the request went on"),
                State::Answered => host.misuse("two replies"),
                State::Open | State::Forwarded => {
                    stream.state = State::Answered;
                    stream.reply = Some(Reply {
                        status,
                        details,
                        headers,
                        body,
                        grpc_status,
                    });
                    host.replied.push_back(speaker);
                }
            },
        }
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_effective_context(context: u32) -> u32 {
    let is_root = HOST.with_borrow(|host| host.as_ref().is_some_and(|host| host.root == context));
    let words = if is_root {
        "speak for the root"
    } else {
        "speak for the stream"
    };
    call("proxy_set_effective_context", words.into(), |host| {
        if context != host.root && !host.streams.contains_key(&context) {
            return BAD_ARGUMENT;
        }
        host.effective = context;
        OK
    })
}
