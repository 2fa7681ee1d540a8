//! Locks and atomic numbers. A test puts loom's in their place: `native/tests/loom.rs`.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
