//! One VM with one plugin in the interpreter, called as Envoy calls it, and what each call costs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::OnceLock;

use serde_json::Value;
use testkit::Request;
use wasmi::{Engine, Global, Instance, Linker, Module, Store, TypedFunc, Val, WasmParams, WasmResults};

use super::counted::{self, Counted};
use super::headers::HeaderMap;
use super::host::{self, Host, Outcome};

const ROOT: u32 = 1;
const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;
/// The resources that a call has used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    /// WebAssembly instructions, except for those that only delimit blocks. Those that copy or fill memory
    /// count by its size, too.
    pub(crate) instructions: u64,
    /// The same for each executed function.
    by_function: BTreeMap<&'static str, u64>,
    calls: BTreeMap<&'static str, u64>,
}

impl Cost {
    pub(crate) fn host_calls(&self) -> u64 {
        self.calls.values().sum()
    }

    /// The functions that have executed the most instructions, each in a line.
    pub(crate) fn profile(&self) -> String {
        let mut functions: Vec<_> = self.by_function.iter().collect();
        functions.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        functions
            .iter()
            .take(50)
            .fold(String::new(), |mut text, (name, count)| {
                let _ = writeln!(text, "{count:>12}  {name}");
                text
            })
    }

    /// The host calls by their names.
    pub(crate) fn named(&self) -> String {
        self.calls.iter().fold(String::new(), |mut text, (name, count)| {
            let name = name.strip_prefix("proxy_").unwrap_or(name);
            let _ = match count {
                1 => write!(text, "{name} "),
                _ => write!(text, "{count}×{name} "),
            };
            text
        })
    }
}

/// See the module.
pub(crate) struct Vm {
    store: Store<Host>,
    instance: Instance,
    counters: Vec<Global>,
    last_context: u32,
}

/// The module with its counters, translated once, and the names of the functions that count.
fn module() -> &'static (Engine, Module, Vec<String>) {
    static MODULE: OnceLock<(Engine, Module, Vec<String>)> = OnceLock::new();
    MODULE.get_or_init(|| {
        let engine = Engine::default();
        let path = testkit::module_path();
        let bytes =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; `make wasm`", path.display()));
        let Counted { bytes, names } = counted::count(&bytes);
        let module = Module::new(&engine, bytes).expect("a module that an interpreter takes");
        (engine, module, names)
    })
}

impl Vm {
    /// A VM with a root that is not configured yet, at this time, and its cost.
    pub(crate) fn start(now: u64) -> (Self, Cost) {
        let (engine, module, names) = module();
        let mut linker = Linker::new(engine);
        host::define(&mut linker, module).expect("imports that differ in their names");
        let mut store = Store::new(engine, Host::default());
        let instance = linker
            .instantiate_and_start(&mut store, module)
            .expect("all imports are defined");
        let memory = instance.get_memory(&store, "memory");
        let allocate = instance.get_typed_func(&store, "proxy_on_memory_allocate");
        store
            .data_mut()
            .attach(memory.expect("a memory"), allocate.expect("an allocator"));
        let counter = |function| instance.get_global(&store, &counted::counter(function));
        let counters = (0..names.len()).map(|function| counter(function).expect("a counter"));
        let mut vm = Self {
            counters: counters.collect(),
            store,
            instance,
            last_context: ROOT,
        };
        vm.set_time(now);
        let cost = vm.cost_of(|vm| {
            vm.call::<(), ()>("_initialize", ());
            vm.call::<_, ()>("proxy_on_context_create", (ROOT, 0_u32));
        });
        (vm, cost)
    }

    /// Seconds since the epoch.
    pub(crate) fn set_time(&mut self, now: u64) {
        self.store.data_mut().now = now;
    }

    /// Passes a configuration to the plugin, in the form that Envoy makes of YAML. The plugin has to accept
    /// it.
    pub(crate) fn configure(&mut self, config: &Value) -> Cost {
        let bytes = testkit::struct_message(config);
        let size = u32::try_from(bytes.len()).expect("a configuration that fits");
        self.store.data_mut().configuration = bytes;
        self.cost_of(|vm| {
            let is_taken: u32 = vm.call("proxy_on_configure", (ROOT, size));
            assert_eq!(is_taken, 1, "refused: {:?}", vm.store.data().log);
        })
    }

    pub(crate) fn tick(&mut self) -> Cost {
        self.cost_of(|vm| vm.call("proxy_on_tick", ROOT))
    }

    /// A request that has to pass, with the claim in its header and without the token.
    pub(crate) fn forwarded(&mut self, request: &Request) -> Cost {
        let (cost, outcome) = self.request(request);
        assert_eq!(outcome.action, CONTINUE, "{:?}", outcome.reply);
        assert_eq!(outcome.reply, None);
        let subject = outcome.headers.first("x-jwt-sub").map(<[u8]>::to_vec);
        match request.headers.iter().any(|(name, _)| name == "authorization") {
            true => assert!(subject.expect("a subject").starts_with(b"user-")),
            false => assert_eq!(subject, None),
        }
        assert_eq!(outcome.headers.first("authorization"), None);
        cost
    }

    /// A request that has to be answered with this status.
    pub(crate) fn refused(&mut self, request: &Request, status: u32) -> Cost {
        let (cost, outcome) = self.request(request);
        assert_eq!(outcome.action, PAUSE);
        assert_eq!(outcome.reply, Some(status));
        cost
    }

    /// A request from beginning to end.
    fn request(&mut self, request: &Request) -> (Cost, Outcome) {
        self.last_context += 1;
        let id = self.last_context;
        let headers = HeaderMap::of_request(request);
        let count = u32::try_from(headers.len()).expect("few headers");
        self.store.data_mut().outcome = Outcome::of(headers);
        let mut action = None;
        let cost = self.cost_of(|vm| {
            vm.call::<_, ()>("proxy_on_context_create", (id, ROOT));
            action = Some(vm.call::<_, u32>("proxy_on_request_headers", (id, count, 1_u32)));
            vm.call::<_, ()>("proxy_on_delete", id);
        });
        let mut outcome = std::mem::take(&mut self.store.data_mut().outcome);
        outcome.action = action.expect("an action");
        (cost, outcome)
    }

    /// The size of the memory, in pages of 64 KiB. It never shrinks.
    pub(crate) fn pages(&self) -> u64 {
        let memory = self.instance.get_memory(&self.store, "memory");
        memory.expect("a memory").size(&self.store)
    }

    fn cost_of(&mut self, run: impl FnOnce(&mut Self)) -> Cost {
        for counter in &self.counters {
            let is_set = counter.set(&mut self.store, Val::I64(0));
            is_set.expect("a counter is a variable");
        }
        self.store.data_mut().calls.clear();
        run(self);
        let counts = self.counters.iter().map(|counter| {
            let count = counter.get(&self.store).i64().expect("a counter is a number");
            u64::try_from(count).expect("a counter counts up")
        });
        let mut by_function = BTreeMap::new();
        for (name, count) in module().2.iter().zip(counts).filter(|(_, count)| *count > 0) {
            *by_function.entry(name.as_str()).or_default() += count;
        }
        Cost {
            instructions: by_function.values().sum(),
            by_function,
            calls: std::mem::take(&mut self.store.data_mut().calls),
        }
    }

    fn call<P: WasmParams, R: WasmResults>(&mut self, name: &str, arguments: P) -> R {
        let function: TypedFunc<P, R> = self
            .instance
            .get_typed_func(&self.store, name)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        function
            .call(&mut self.store, arguments)
            .unwrap_or_else(|error| panic!("{name}: {error}; {:?}", self.store.data().log))
    }
}
