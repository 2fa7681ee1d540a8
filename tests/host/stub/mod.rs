//! A host of ABI 0.2.1: it answers each host call as Envoy 1.40 does, and records all of them.
//!
//! One thread is one VM: the SDK's dispatcher is thread-local, and so is the host. Several threads may have
//! the same shared data, as the workers of one Envoy do.

mod calls;
mod headers;
mod imports;
mod memory;
mod shared;
mod stream_imports;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

pub(crate) use headers::HeaderMap;
pub(crate) use memory::held;
pub(crate) use shared::SharedData;

pub(crate) const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const BAD_ARGUMENT: u32 = 2;
pub(crate) const CAS_MISMATCH: u32 = 8;
const INTERNAL_FAILURE: u32 = 10;

thread_local! {
    static HOST: RefCell<Option<Host>> = const { RefCell::new(None) };
}

/// Makes this the thread's host; gives back the one before.
pub(crate) fn replace(host: Option<Host>) -> Option<Host> {
    HOST.replace(host)
}

/// Looks at the thread's host, or changes it. Never around a callback: that will need it too.
pub(crate) fn with<T>(look: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with_borrow_mut(|host| look(host.as_mut().expect("this thread has no host")))
}

/// See the module.
#[derive(Default)]
pub(crate) struct Host {
    /// Milliseconds since the epoch.
    pub(crate) now: u64,
    /// The level that the host says it has; 0: trace.
    pub(crate) log_level: u32,
    pub(crate) root: u32,
    /// There only during `proxy_on_configure`.
    pub(crate) configuration: Option<Vec<u8>>,
    pub(crate) streams: BTreeMap<u32, Stream>,
    /// Streams that have ended.
    pub(crate) past: Vec<Stream>,
    /// Calls without an answer yet.
    pub(crate) calls: VecDeque<Call>,
    /// The response to a fetch, while the module's callback for it runs.
    pub(crate) answer: Option<(HeaderMap, Vec<u8>)>,
    pub(crate) ticks: Option<Ticks>,
    /// The properties of every stream, by path, with dots between the segments.
    pub(crate) properties: HashMap<String, Vec<u8>>,
    /// The properties after the filter's last callback for a request whose headers it changed: Envoy then
    /// selects the route again.
    pub(crate) rerouted: Option<HashMap<String, Vec<u8>>>,
    pub(crate) shared: Arc<Mutex<SharedData>>,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) lines: Vec<Line>,
    /// Every host call and every callback, in words. Log lines below info are left out: no Envoy in
    /// production has them.
    pub(crate) story: Vec<String>,
    /// Faults of a filter: Envoy would hang, crash, or let a request through.
    pub(crate) misuse: Vec<String>,
    pub(crate) fault: Option<Fault>,
    /// The behavior of `verify_signature`.
    pub(crate) crypto: Crypto,
    /// Runs before the next write to shared data: what another worker does in between.
    pub(crate) before_write: Option<Box<dyn FnOnce()>>,
    /// The context whose callback runs.
    current: u32,
    /// The context that the filter has set as the current one, if it is another.
    effective: u32,
    /// Replies that are sent when the callback returns.
    replied: VecDeque<u32>,
    /// The next call is the SDK's own, not ours: it is spared, since the SDK panics,
    spares_next_effective: bool,
    /// unless a test wants that.
    pub(crate) fault_reaches_the_sdk: bool,
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) headers: HeaderMap,
    /// The trailers.
    pub(crate) trailers: HeaderMap,
    pub(crate) state: State,
    pub(crate) reply: Option<Reply>,
    pub(crate) filter_state: BTreeMap<String, Vec<u8>>,
    /// Its headers were changed.
    pub(crate) is_edited: bool,
    /// Its answer comes back: it may be replaced.
    pub(crate) is_answering: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The filter has not decided, and may change the headers.
    Open,
    Forwarded,
    Answered,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u32,
    pub(crate) details: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) grpc_status: i32,
}

/// An HTTP call of the filter.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: u32,
    pub(crate) cluster: String,
    pub(crate) headers: HeaderMap,
    pub(crate) timeout: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks {
    pub(crate) period: u64,
    pub(crate) next: u64,
}

#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) value: u64,
}

#[derive(Debug)]
pub(crate) struct Line {
    /// 0 trace, 1 debug, 2 info, 3 warn, 4 error, 5 critical.
    pub(crate) level: u32,
    pub(crate) text: String,
}

/// A host's function `verify_signature`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Crypto {
    #[default]
    Envoys,
    /// Takes every signature.
    SaysYes,
    /// Answers with bytes that are not a message.
    Babbles,
    /// There is none.
    None,
}

/// A host call that fails from this moment on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// The call; `*`: every one that `src/host` makes itself.
    pub(crate) import: &'static str,
    pub(crate) status: u32,
}

impl Stream {
    pub(crate) fn new(headers: HeaderMap) -> Self {
        Self {
            headers,
            trailers: HeaderMap::default(),
            state: State::Open,
            reply: None,
            filter_state: BTreeMap::new(),
            is_edited: false,
            is_answering: false,
        }
    }
}

impl Host {
    /// Before a callback of this context.
    pub(crate) fn begin(&mut self, context: u32) {
        self.current = context;
        self.effective = 0;
    }

    /// After the callback: a stream whose reply is still to send.
    pub(crate) fn next_reply(&mut self) -> Option<u32> {
        self.current = 0;
        self.effective = 0;
        self.replied.pop_front()
    }

    /// Before the answer to an HTTP call: the SDK then makes the context of the call the current one.
    pub(crate) fn expect_effective_context_of_the_sdk(&mut self) {
        self.spares_next_effective = !self.fault_reaches_the_sdk;
    }

    pub(crate) fn metric(&self, name: &str) -> Option<u64> {
        let metric = self.metrics.iter().find(|metric| metric.name == name)?;
        Some(metric.value)
    }

    pub(crate) fn has_line(&self, level: u32, part: &str) -> bool {
        self.lines
            .iter()
            .any(|line| line.level == level && line.text.contains(part))
    }

    /// The stream of the current host calls, if there is one.
    fn stream(&mut self) -> Option<&mut Stream> {
        let context = match self.effective {
            0 => self.current,
            effective => effective,
        };
        self.streams.get_mut(&context)
    }
}
