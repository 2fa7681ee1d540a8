//! One VM with one plugin: calls the SDK's `proxy_on_*` in the order in which Envoy does.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use serde_json::Value;
use testkit::Request;

use super::stub::{self, HeaderMap, Host, State, Stream};
use scenarios::world;

// The crate that exports these functions; the name links it.
use proxy_wasm_jwt as _;

unsafe extern "C" {
    safe fn _initialize();
    safe fn proxy_on_context_create(context: u32, root: u32);
    safe fn proxy_on_vm_start(root: u32, size: usize) -> bool;
    safe fn proxy_on_configure(root: u32, size: usize) -> bool;
    safe fn proxy_on_tick(root: u32);
    safe fn proxy_on_request_headers(stream: u32, count: usize, is_end: bool) -> u32;
    safe fn proxy_on_request_body(stream: u32, size: usize, is_end: bool) -> u32;
    safe fn proxy_on_request_trailers(stream: u32, count: usize) -> u32;
    safe fn proxy_on_response_headers(stream: u32, count: usize, is_end: bool) -> u32;
    safe fn proxy_on_response_body(stream: u32, size: usize, is_end: bool) -> u32;
    safe fn proxy_on_response_trailers(stream: u32, count: usize) -> u32;
    safe fn proxy_on_http_call_response(root: u32, call: u32, headers: usize, body: usize, trailers: usize);
    safe fn proxy_on_done(context: u32) -> bool;
    safe fn proxy_on_log(context: u32);
    safe fn proxy_on_delete(context: u32);
}

const CONTINUE: u32 = 0;

/// The numbers of contexts, each used once in a thread.
static LAST_CONTEXT: AtomicU32 = AtomicU32::new(0);

fn next_context() -> u32 {
    LAST_CONTEXT.fetch_add(1, Ordering::Relaxed) + 1
}

/// A VM with one plugin. It ends when it is dropped. By then, no host call may have been misused, unless the
/// test makes the host fail.
pub(crate) struct Vm {
    root: u32,
}

/// An answer to an HTTP call.
pub(crate) enum Answer {
    Message(Vec<(String, String)>, Vec<u8>),
    Reset,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self::Message(vec![(":status".into(), status.to_string())], Vec::new())
    }

    pub(crate) fn document(body: &str) -> Self {
        Self::Message(vec![(":status".into(), "200".into())], body.into())
    }
}

impl Vm {
    /// A VM whose plugin is not configured yet, on a host that this may change.
    pub(crate) fn boot(change: impl FnOnce(&mut Host)) -> Self {
        let root = next_context();
        let mut host = Host::default();
        host.root = root;
        host.now = u64::try_from(testkit::unix_now()).expect("after 1970") * 1000;
        change(&mut host);
        stub::replace(Some(host));
        initialize();
        enter(root, || proxy_on_context_create(root, 0));
        assert!(enter(root, || proxy_on_vm_start(root, 0)));
        Self { root }
    }

    /// A VM with this configuration.
    pub(crate) fn start(config: &Value) -> Self {
        let mut vm = Self::boot(|_| {});
        assert!(vm.configure(config.to_string()), "the configuration is refused");
        vm
    }

    /// Passes a configuration to the plugin; false if it is refused.
    pub(crate) fn configure(&mut self, bytes: impl Into<Vec<u8>>) -> bool {
        let bytes = bytes.into();
        let size = bytes.len();
        stub::with(|host| host.configuration = Some(bytes));
        let is_accepted = enter(self.root, || proxy_on_configure(self.root, size));
        stub::with(|host| host.configuration = None);
        is_accepted
    }

    /// Lets this much time pass, with its ticks.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = now() + millis(duration);
        while let Some(next) = next_tick().filter(|next| *next <= end) {
            stub::with(|host| host.now = host.now.max(next));
            self.tick();
        }
        stub::with(|host| host.now = end);
    }

    /// Moves the clock to the next tick.
    pub(crate) fn pass_to_tick(&mut self) {
        let next = next_tick().expect("ticks are on");
        stub::with(|host| host.now = host.now.max(next));
        self.tick();
    }

    pub(crate) fn tick(&mut self) {
        tell("> tick");
        enter(self.root, || proxy_on_tick(self.root));
        stub::with(|host| {
            if let Some(ticks) = &mut host.ticks {
                ticks.next = host.now + ticks.period;
            }
        });
    }

    /// Answers an HTTP call.
    pub(crate) fn answer(&mut self, call: u32, answer: &Answer) {
        stub::with(|host| host.calls.retain(|known| known.id != call));
        let (headers, body) = match answer {
            Answer::Reset => (0, 0),
            Answer::Message(fields, body) => {
                let mut headers = HeaderMap::default();
                for (name, value) in fields {
                    headers.push(name, value.as_bytes());
                }
                let sizes = (headers.len(), body.len());
                stub::with(|host| host.answer = Some((headers, body.clone())));
                sizes
            }
        };
        tell("> answer");
        stub::with(Host::expect_effective_context_of_the_sdk);
        enter(self.root, || {
            proxy_on_http_call_response(self.root, call, headers, body, 0);
        });
        stub::with(|host| host.answer = None);
    }

    /// Answers the oldest call without an answer.
    pub(crate) fn answer_next(&mut self, answer: &Answer) {
        let call = stub::with(|host| host.calls.front().map(|call| call.id));
        self.answer(call.expect("a call waits for its answer"), answer);
    }

    /// A request arrives: its head, and if the filter lets them pass, its body in two pieces and its
    /// trailers.
    pub(crate) fn open(&mut self, request: &Request) -> u32 {
        self.open_with_trailers(request, &[])
    }

    /// The same with these trailers, which a request has only after a body.
    pub(crate) fn open_with_trailers(&mut self, request: &Request, trailers: &[(&str, &str)]) -> u32 {
        let id = next_context();
        let headers = HeaderMap::of_request(request);
        let count = headers.len();
        let has_body = !request.body.is_empty();
        assert!(has_body || trailers.is_empty(), "trailers without a body");
        let mut stream = Stream::new(headers);
        for (name, value) in trailers {
            stream.trailers.push(name, value.as_bytes());
        }
        stub::with(|host| host.streams.insert(id, stream));
        enter(id, || proxy_on_context_create(id, self.root));
        deliver(id, "headers", || proxy_on_request_headers(id, count, !has_body));
        if has_body {
            let half = request.body.len() / 2;
            deliver(id, "body", || proxy_on_request_body(id, half, false));
            deliver(id, "body", || {
                proxy_on_request_body(id, request.body.len(), false)
            });
            deliver(id, "trailers", || proxy_on_request_trailers(id, 1));
        }
        id
    }

    /// The stream ends: the upstream or the filter has answered it, or its client has left.
    pub(crate) fn finish(&mut self, id: u32) {
        if state(id) == State::Forwarded {
            stub::with(|host| host.streams.get_mut(&id).expect("it is open").is_answering = true);
            let action = enter(id, || proxy_on_response_headers(id, 1, false));
            let is_replaced = state(id) == State::Answered;
            // If the host refuses a reply, the request stays held.
            let has_fault = stub::with(|host| host.fault.is_some());
            if is_replaced == (action == CONTINUE) && !(has_fault && action != CONTINUE) {
                stub::with(|host| {
                    host.misuse
                        .push("a response is held, or replaced and let through".into())
                });
            }
            if action == CONTINUE {
                let actions = [
                    enter(id, || proxy_on_response_body(id, 1, false)),
                    enter(id, || proxy_on_response_trailers(id, 1)),
                ];
                if actions != [CONTINUE; 2] {
                    stub::with(|host| host.misuse.push("a response is held".into()));
                }
            }
        }
        enter(id, || proxy_on_log(id));
        enter(id, || proxy_on_done(id));
        enter(id, || proxy_on_delete(id));
        stub::with(|host| {
            let stream = host.streams.remove(&id);
            host.past.extend(stream);
        });
    }

    /// Runs a request from beginning to end. The filter must decide it at once. Returns the stream at its
    /// end.
    pub(crate) fn request(&mut self, request: &Request) -> Stream {
        let id = self.open(request);
        self.finish(id);
        let stream = stub::with(|host| host.past.pop()).expect("the stream has ended");
        assert_ne!(stream.state, State::Open, "the request is still held");
        stream
    }

    /// Ends the VM, and returns the host with all its records.
    pub(crate) fn close(self) -> Host {
        self.teardown()
    }

    fn teardown(&self) -> Host {
        let streams: Vec<u32> = stub::with(|host| host.streams.keys().copied().collect());
        for stream in streams {
            enter(stream, || proxy_on_done(stream));
            enter(stream, || proxy_on_delete(stream));
            stub::with(|host| {
                let stream = host.streams.remove(&stream);
                host.past.extend(stream);
            });
        }
        enter(self.root, || proxy_on_done(self.root));
        enter(self.root, || proxy_on_delete(self.root));
        let host = stub::replace(None).expect("the VM has a host");
        if host.fault.is_none() && !std::thread::panicking() {
            assert_eq!(host.misuse, Vec::<String>::new(), "the host was misused");
        }
        host
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let is_open = stub::replace(None);
        if is_open.is_some() {
            stub::replace(is_open);
            self.teardown();
        }
    }
}

/// The issuer's document: one key, with which [`token`](scenarios::token) is signed.
pub(crate) fn document() -> String {
    testkit::jwks(&[&world().rsa]).to_string()
}

/// The work of a host for each VM. The SDK's logger and its panic hook belong to the process, and its check
/// for them is not thread-safe. The hook is removed again: it would send the panics of failing tests to the
/// host.
fn initialize() {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    static FIRST: Once = Once::new();
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    _initialize();
    FIRST.call_once(|| drop(std::panic::take_hook()));
}

/// Runs a callback of this context, then sends the replies that it asked for. Those pass through the filter
/// too.
fn enter<T>(context: u32, callback: impl FnOnce() -> T) -> T {
    stub::with(|host| host.begin(context));
    let result = callback();
    while let Some(stream) = stub::with(Host::next_reply) {
        stub::with(|host| host.begin(stream));
        proxy_on_response_headers(stream, 1, false);
        proxy_on_response_body(stream, 1, true);
    }
    result
}

/// Delivers a part of a request, unless it was answered before.
fn deliver(id: u32, part: &str, callback: impl FnOnce() -> u32) {
    let before = state(id);
    if before == State::Answered {
        return;
    }
    tell(&format!("> {part}"));
    let action = enter(id, callback);
    tell(if action == CONTINUE {
        "< continue"
    } else {
        "< pause"
    });
    let after = state(id);
    stub::with(|host| {
        let stream = host.streams.get_mut(&id).expect("the stream is open");
        let misuse = match (after, action) {
            (State::Open, CONTINUE) if part == "headers" => {
                stream.state = State::Forwarded;
                None
            }
            // Envoy would forward the undecided head together with the body.
            (State::Open, CONTINUE) => {
                stream.state = State::Forwarded;
                Some("LET THROUGH by its body")
            }
            (State::Answered, CONTINUE) => Some("continued after a reply"),
            (State::Forwarded, action) if action != CONTINUE => {
                Some("the body of a forwarded request is held")
            }
            _ => None,
        };
        host.misuse.extend(misuse.map(str::to_owned));
    });
}

/// A line of the host's own in the story.
fn tell(line: &str) {
    stub::with(|host| host.story.push(line.to_owned()));
}

pub(crate) fn state(id: u32) -> State {
    stub::with(|host| host.streams.get(&id).expect("the stream is open").state)
}

pub(crate) fn now() -> u64 {
    stub::with(|host| host.now)
}

pub(crate) fn next_tick() -> Option<u64> {
    stub::with(|host| host.ticks.map(|ticks| ticks.next))
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("a duration of a test")
}
