//! The imports of the module, as Envoy answers them, for an interpreter: memory is the module's own, and
//! addresses are numbers.
//!
//! Imports that a request with local keys does not need are absent. A call of one ends the test with its
//! name.

use std::collections::BTreeMap;

use wasmi::{Caller, Error, ExternType, Linker, Memory, Module, TypedFunc};

use super::headers::HeaderMap;

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const BAD_ARGUMENT: u32 = 2;

type Status = Result<u32, Error>;

/// The host's side of one VM.
#[derive(Default)]
pub(crate) struct Host {
    /// Seconds since the epoch.
    pub(crate) now: u64,
    pub(crate) configuration: Vec<u8>,
    /// The state of the current request.
    pub(crate) outcome: Outcome,
    pub(crate) log: Vec<String>,
    /// Host calls by their names.
    pub(crate) calls: BTreeMap<&'static str, u64>,
    metrics: Vec<Vec<u8>>,
    vm: Option<(Memory, TypedFunc<u32, u32>)>,
}

/// The result of a request.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) headers: HeaderMap,
    /// The status that it is answered with.
    pub(crate) reply: Option<u32>,
    /// The return value of the callback.
    pub(crate) action: u32,
}

impl Outcome {
    pub(crate) fn of(headers: HeaderMap) -> Self {
        Self {
            headers,
            ..Self::default()
        }
    }
}

impl Host {
    /// Call this first: it sets the memory and its allocator.
    pub(crate) fn attach(&mut self, memory: Memory, allocate: TypedFunc<u32, u32>) {
        self.vm = Some((memory, allocate));
    }
}

/// A host call under way.
struct Call<'c>(Caller<'c, Host>);

impl<'c> Call<'c> {
    fn begin(name: &'static str, mut caller: Caller<'c, Host>) -> Self {
        *caller.data_mut().calls.entry(name).or_default() += 1;
        Self(caller)
    }

    fn host(&mut self) -> &mut Host {
        self.0.data_mut()
    }

    fn vm(&self) -> (Memory, TypedFunc<u32, u32>) {
        self.0.data().vm.expect("it was attached")
    }

    fn bytes(&self, address: u32, size: u32) -> Vec<u8> {
        let (memory, _) = self.vm();
        let start = usize::try_from(address).expect("32 bits");
        let end = start + usize::try_from(size).expect("32 bits");
        memory.data(&self.0)[start..end].to_vec()
    }

    fn text(&self, address: u32, size: u32) -> String {
        String::from_utf8_lossy(&self.bytes(address, size)).into_owned()
    }

    fn write(&mut self, address: u32, bytes: &[u8]) -> Status {
        let (memory, _) = self.vm();
        memory.write(&mut self.0, usize::try_from(address).expect("32 bits"), bytes)?;
        Ok(OK)
    }

    fn write_number(&mut self, address: u32, number: u32) -> Status {
        self.write(address, &number.to_le_bytes())
    }

    /// Passes bytes to the module, which then owns them. As in Envoy, an empty text has no allocation.
    fn give(&mut self, bytes: &[u8], data: u32, size: u32) -> Status {
        let length = u32::try_from(bytes.len()).expect("32 bits");
        let mut place = 0;
        if length > 0 {
            let (_, allocate) = self.vm();
            place = allocate.call(&mut self.0, length)?;
            self.write(place, bytes)?;
        }
        self.write_number(data, place)?;
        self.write_number(size, length)
    }

    fn give_some(&mut self, bytes: Option<Vec<u8>>, data: u32, size: u32) -> Status {
        match bytes {
            Some(bytes) => self.give(&bytes, data, size),
            None => Ok(NOT_FOUND),
        }
    }
}

/// Defines everything that the module imports.
pub(crate) fn define(linker: &mut Linker<Host>, module: &Module) -> Result<(), Error> {
    root(linker)?;
    requests(linker)?;
    metrics(linker)?;
    wasi(linker)?;
    for import in module.imports() {
        let ExternType::Func(kind) = import.ty() else {
            panic!("{} is no function", import.name());
        };
        let name = import.name().to_owned();
        let refuse = move |_: Caller<'_, Host>, _: &[wasmi::Val], _: &mut [wasmi::Val]| {
            Err(Error::new(format!("{name} is not there")))
        };
        // A function that is already defined stays.
        let _ = linker.func_new(import.module(), import.name(), kind.clone(), refuse);
    }
    Ok(())
}

/// Takes a body that sees the call, by its import's name.
macro_rules! import {
    ($linker:ident, $name:literal, |$call:ident $(, $argument:ident: $type:ty)*| $body:expr) => {
        $linker.func_wrap("env", $name, move |caller: Caller<'_, Host> $(, $argument: $type)*| -> Status {
            #[allow(unused_mut, reason = "not every call changes something")]
            let mut $call = Call::begin($name, caller);
            $body
        })?
    };
}

fn root(linker: &mut Linker<Host>) -> Result<(), Error> {
    import!(linker, "proxy_log", |call, level: u32, data: u32, size: u32| {
        let text = format!("{level}: {}", call.text(data, size));
        call.host().log.push(text);
        Ok(OK)
    });
    // Info, as in production.
    import!(linker, "proxy_get_log_level", |call, level: u32| call
        .write_number(level, 2));
    import!(linker, "proxy_get_current_time_nanoseconds", |call, time: u32| {
        let nanoseconds = call.host().now * 1_000_000_000;
        call.write(time, &nanoseconds.to_le_bytes())
    });
    import!(
        linker,
        "proxy_set_tick_period_milliseconds",
        |_call, _period: u32| Ok(OK)
    );
    // A configuration with a warning writes that it has warned.
    import!(
        linker,
        "proxy_set_shared_data",
        |_call, _key: u32, _key_size: u32, _value: u32, _size: u32, _version: u32| Ok(OK)
    );
    import!(linker, "proxy_set_effective_context", |_call, _context: u32| Ok(
        OK
    ));
    import!(
        linker,
        "proxy_get_buffer_bytes",
        |call, buffer: u32, _start: u32, _max: u32, data: u32, size: u32| {
            assert_eq!(buffer, 7, "only the configuration is a buffer here");
            let bytes = call.host().configuration.clone();
            call.give(&bytes, data, size)
        }
    );
    import!(
        linker,
        "proxy_call_foreign_function",
        |call, name: u32, name_size: u32, argument: u32, argument_size: u32, data: u32, size: u32| {
            if call.text(name, name_size) != "verify_signature" {
                return Ok(NOT_FOUND);
            }
            let answer = testkit::verify_signature(&call.bytes(argument, argument_size));
            call.give(&answer, data, size)
        }
    );
    Ok(())
}

fn requests(linker: &mut Linker<Host>) -> Result<(), Error> {
    import!(
        linker,
        "proxy_get_header_map_value",
        |call, map: u32, key: u32, key_size: u32, data: u32, size: u32| {
            assert_eq!(map, 0, "only the request has headers here");
            let key = call.text(key, key_size);
            let value = call.host().outcome.headers.first(&key).map(<[u8]>::to_vec);
            call.give_some(value, data, size)
        }
    );
    import!(
        linker,
        "proxy_get_header_map_pairs",
        |call, map: u32, data: u32, size: u32| {
            assert_eq!(map, 0, "only the request has headers here");
            let bytes = call.host().outcome.headers.to_bytes();
            call.give(&bytes, data, size)
        }
    );
    import!(
        linker,
        "proxy_replace_header_map_value",
        |call, _map: u32, key: u32, key_size: u32, value: u32, value_size: u32| {
            let (key, value) = (call.text(key, key_size), call.bytes(value, value_size));
            call.host().outcome.headers.replace(&key, &value);
            Ok(OK)
        }
    );
    import!(
        linker,
        "proxy_remove_header_map_value",
        |call, _map: u32, key: u32, key_size: u32| {
            let key = call.text(key, key_size);
            call.host().outcome.headers.remove(&key);
            Ok(OK)
        }
    );
    // No route has metadata, and no connection has a certificate.
    import!(
        linker,
        "proxy_get_property",
        |_call, _path: u32, _path_size: u32, _data: u32, _size: u32| Ok(NOT_FOUND)
    );
    import!(
        linker,
        "proxy_set_property",
        |_call, _path: u32, _path_size: u32, _value: u32, _value_size: u32| Ok(OK)
    );
    import!(
        linker,
        "proxy_send_local_response",
        |call,
         status: u32,
         _details: u32,
         _details_size: u32,
         _body: u32,
         _body_size: u32,
         _headers: u32,
         _headers_size: u32,
         _grpc_status: u32| {
            call.host().outcome.reply = Some(status);
            Ok(OK)
        }
    );
    Ok(())
}

fn metrics(linker: &mut Linker<Host>) -> Result<(), Error> {
    import!(
        linker,
        "proxy_define_metric",
        |call, _kind: u32, name: u32, name_size: u32, id: u32| {
            let name = call.bytes(name, name_size);
            let metrics = &mut call.host().metrics;
            let known = metrics.iter().position(|metric| *metric == name);
            let index = known.unwrap_or_else(|| {
                metrics.push(name);
                metrics.len() - 1
            });
            call.write_number(id, u32::try_from(index).expect("few metrics") + 1)
        }
    );
    let is_known = |call: &mut Call<'_>, id: u32| {
        let count = u32::try_from(call.host().metrics.len()).expect("few metrics");
        Ok(if (1..=count).contains(&id) {
            OK
        } else {
            BAD_ARGUMENT
        })
    };
    import!(linker, "proxy_increment_metric", |call, id: u32, _offset: i64| {
        is_known(&mut call, id)
    });
    import!(linker, "proxy_record_metric", |call, id: u32, _value: u64| {
        is_known(&mut call, id)
    });
    Ok(())
}

fn wasi(linker: &mut Linker<Host>) -> Result<(), Error> {
    const WASI: &str = "wasi_snapshot_preview1";
    // The same seed each time, so that hash tables look the same each time.
    linker.func_wrap(
        WASI,
        "random_get",
        |caller: Caller<'_, Host>, data: u32, size: u32| {
            let bytes = vec![0x5a; usize::try_from(size).expect("32 bits")];
            Call::begin("random_get", caller).write(data, &bytes)
        },
    )?;
    linker.func_wrap(
        WASI,
        "environ_sizes_get",
        |caller: Caller<'_, Host>, count: u32, size: u32| {
            let mut call = Call::begin("environ_sizes_get", caller);
            call.write_number(count, 0)?;
            call.write_number(size, 0)
        },
    )?;
    linker.func_wrap(WASI, "environ_get", |caller: Caller<'_, Host>, _: u32, _: u32| {
        Call::begin("environ_get", caller);
        OK
    })?;
    Ok(())
}
