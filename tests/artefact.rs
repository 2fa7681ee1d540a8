//! The module that `make wasm` builds: its size, its exports and its imports. Neither module names a
//! directory of its builder.

#![cfg(test)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use std::collections::BTreeSet;

/// The largest size of the module, in bytes.
const BUDGET: usize = 808 * 1024;

/// No function's body may be larger, in bytes. V8 compiles every function when Envoy starts, one at a time on
/// each of its threads. What it needs for one grows faster than the function, and the process keeps that
/// memory: with bodies of up to 41 KB, Envoy took 20 MB more.
const LARGEST_FUNCTION: usize = 9_000;

/// The functions that Envoy calls. Each further one costs a call into the VM for each request or connection.
const EXPORTS: &[&str] = &[
    "_initialize",
    "memory",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_http_call_response",
    "proxy_on_memory_allocate",
    "proxy_on_request_body",
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_tick",
];

/// The imports of the standard library: a seed for its hash maps, and the end of a program after a panic. No
/// files, no sockets.
const WASI: &[&str] = &[
    "environ_get",
    "environ_sizes_get",
    "fd_write",
    "proc_exit",
    "random_get",
];

/// The sections of a module that this test reads.
struct Module {
    size: usize,
    largest_function: usize,
    imports: Vec<(String, String)>,
    exports: BTreeSet<String>,
    custom: Vec<String>,
}

/// Reads the next part (WebAssembly core specification, section 5).
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn byte(&mut self) -> u8 {
        self.bytes(1)[0]
    }

    fn bytes(&mut self, count: usize) -> &'b [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn number(&mut self) -> usize {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let byte = self.byte();
            number |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }

    fn name(&mut self) -> String {
        let length = self.number();
        String::from_utf8(self.bytes(length).to_vec()).expect("names are UTF-8")
    }
}

fn module() -> Module {
    let path = testkit::module_path();
    let bytes =
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; `make wasm`", path.display()));
    let mut module = Module {
        size: bytes.len(),
        largest_function: 0,
        imports: Vec::new(),
        exports: BTreeSet::new(),
        custom: Vec::new(),
    };
    let mut reader = Reader(&bytes);
    assert_eq!(reader.bytes(8), b"\0asm\x01\0\0\0");
    while !reader.0.is_empty() {
        let id = reader.byte();
        let length = reader.number();
        let mut section = Reader(reader.bytes(length));
        match id {
            0 => module.custom.push(section.name()),
            2 => {
                for _ in 0..section.number() {
                    module.imports.push((section.name(), section.name()));
                    assert_eq!(section.byte(), 0, "only functions are imported");
                    section.number();
                }
            }
            7 => {
                for _ in 0..section.number() {
                    module.exports.insert(section.name());
                    section.byte();
                    section.number();
                }
            }
            10 => {
                for _ in 0..section.number() {
                    let length = section.number();
                    section.bytes(length);
                    module.largest_function = module.largest_function.max(length);
                }
            }
            _ => {}
        }
    }
    module
}

#[test]
fn it_is_as_small_as_was_promised() {
    let module = module();
    println!("{} bytes", module.size);
    assert!(module.size <= BUDGET, "{} bytes", module.size);
    assert!(module.custom.is_empty(), "left inside: {:?}", module.custom);
}

/// The messages of panics name files of the sources. If a directory of the builder is in such a name, others
/// do not get the same bytes, and everybody reads it.
#[test]
fn neither_module_names_a_directory_of_its_builder() {
    let checkout = format!("{}/src/", testkit::workspace_root().display());
    let directories = ["/lib/rustlib/src/", "/registry/src/", &checkout];
    for path in [testkit::module_path(), testkit::native_module_path()] {
        let bytes =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; `make test`", path.display()));
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(has("src/config/requirement.rs"), "{} names files", path.display());
        for directory in directories {
            assert!(!has(directory), "{} contains {directory}", path.display());
        }
    }
}

#[test]
fn no_function_is_too_large_to_compile_in_little_memory() {
    let largest = module().largest_function;
    println!("{largest} bytes");
    assert!(
        (1..=LARGEST_FUNCTION).contains(&largest),
        "{largest} bytes; split it, or keep it from being inlined"
    );
}

#[test]
fn the_host_can_call_what_does_something_and_nothing_else() {
    let exports = module().exports;
    let expected: BTreeSet<String> = EXPORTS.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(exports, expected);
}

#[test]
fn it_asks_for_the_abi_and_for_no_more_of_wasi_than_is_known() {
    for (module, name) in module().imports {
        let is_known = match module.as_str() {
            "env" => name.starts_with("proxy_"),
            "wasi_snapshot_preview1" => WASI.contains(&name.as_str()),
            _ => false,
        };
        assert!(is_known, "{module}.{name}");
    }
}
