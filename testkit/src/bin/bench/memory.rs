//! The memory of a worker's VM after a flood of good tokens, each of which comes once.

use std::fs;

use crate::cases::Side;
use crate::pump;
use crate::stack::Stack;
use crate::tokens::{Keys, Kind};

pub(crate) const NAME: &str = "memory";

/// The memory in KiB after this many tokens.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) tokens: u64,
    /// The linear memory of the worker's VM.
    pub(crate) vm: u64,
    /// The memory of the whole Envoy process.
    pub(crate) resident: u64,
}

/// Sends this many different ES256 tokens to an Envoy of its own. Of the algorithms that Envoy checks, ES256
/// takes the least time to sign.
pub(crate) fn measure(keys: &Keys, count: u64) -> Vec<Reading> {
    let stack = Stack::start(keys, &[Side::Ours], 1);
    let mut readings = Vec::new();
    let mut sent = 0;
    for tokens in [0, count / 100, count / 10, count / 2, count] {
        pump::flood(stack.port(Side::Ours), tokens - sent, |number| {
            let token = keys.mint(Kind::Es256, (sent + number) as usize);
            pump::request(token.as_deref())
        });
        sent = tokens;
        let reading = Reading {
            tokens,
            vm: largest_vm_kib(stack.pid()),
            resident: stack.memory_kib(),
        };
        eprintln!(
            "{NAME}: {tokens:>8} tokens  VM {:>6} KiB  Envoy {:>7} KiB",
            reading.vm, reading.resident
        );
        readings.push(reading);
    }
    readings
}

/// The linear memory of the largest VM: of all, only the worker's gets requests. For each VM, V8 reserves
/// more than the four GiB of its address space, and makes the memory that the module has requested accessible
/// at its beginning. The list of the process's mappings shows both.
fn largest_vm_kib(pid: u32) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("Envoy runs");
    let mut largest = 0;
    let mut before = None;
    for line in maps.lines() {
        let mapping = mapping(line).expect("a line of a process's mappings");
        if let Some((start, end, "rw-p")) = before
            && let (next, reserved, "---p") = mapping
            && next == end
            && reserved - next >= 4 << 30
        {
            largest = largest.max((end - start) / 1024);
        }
        before = Some(mapping);
    }
    assert!(largest > 0, "no VM in\n{maps}");
    largest
}

/// Start, end and permissions.
fn mapping(line: &str) -> Option<(u64, u64, &str)> {
    let (addresses, rest) = line.split_once(' ')?;
    let (start, end) = addresses.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(start)?, number(end)?, rest.split(' ').next()?))
}
