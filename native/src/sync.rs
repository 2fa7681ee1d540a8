//! Locks and atomic numbers. A test puts loom's in their place: `native/tests/loom.rs`.

pub(crate) use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
