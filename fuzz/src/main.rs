//! One kind of input, which `FUZZ_TARGET` names, under LLVM's fuzzer. Its arguments are libFuzzer's.

#![no_main]

use std::sync::OnceLock;

use fuzz::{TARGETS, Target};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static TARGET: OnceLock<Target> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let wanted = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
        let mut known = TARGETS.iter().filter(|(name, _)| *name == wanted);
        known.next().expect("FUZZ_TARGET is the name of one").1
    });
    target(bytes);
});
