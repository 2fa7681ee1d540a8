//! Envoy's C interface of dynamic modules: the functions that it calls, and the functions that it exports.
//!
//! | file | contains |
//! | --- | --- |
//! | `declarations` | Envoy's functions and constants, as its C header declares them |
//! | `buffer` | bytes and header fields in the form of the interface |
//! | `stream` | the handle of a stream: continue, answer, choose the route |
//! | `headers` | its header and trailer fields |
//! | `data` | its metadata, filter state and attributes |
//! | `config` | the handle of a configuration: requests for keys |
//! | `metrics` | counters, gauges and histograms |
//! | `secrets` | secrets that Envoy gets |
//! | `scheduler` | handles that any thread may use |
//! | `process` | the log, the mode, and the loaded library |
//! | `exports` | the functions that Envoy calls |
//!
//! Only this folder contains unsafe code. These rules make it sound:
//!
//! 1. *Handles.* An exported function wraps a pointer of Envoy as [`Host`] or [`ConfigHost`]. Its lifetime
//!    ends with the call. Both stay on their thread, because a raw pointer is neither `Send` nor `Sync`.
//! 2. *Arguments.* The module makes a [`Buffer`](buffer::Buffer) for Envoy from a slice that lives during the
//!    call. Envoy copies it.
//! 3. *Results.* A buffer that Envoy fills is valid until the event hook returns or a field of the same map
//!    is written. The module copies it before it calls anything else.
//! 4. *Objects.* A `..._new` function returns a counted reference that was leaked with `into_raw`. Envoy
//!    gives it back to the functions of the same kind, and to the `..._destroy` function last and once. In
//!    between, the module makes shared references only, because Envoy calls a module again from within its
//!    own callbacks. It may even call `..._destroy` of a stream there, on the same thread. So each hook of a
//!    stream counts a reference of its own. A route's configuration is a number, because Envoy may hand out
//!    another module's.
//! 5. *Schedulers.* They may be committed from any thread until they are deleted; Envoy discards an event for
//!    a stream or a configuration that has ended.
//! 6. *Panics.* None leaves a function that Envoy calls: each runs in [`hooks`](crate::hooks), which catches
//!    them.
//!
//! `log` and `dlsym` may be called from any thread.
#![allow(unsafe_code)]

mod buffer;
mod config;
mod data;
mod declarations;
mod exports;
mod headers;
mod metrics;
mod process;
mod scheduler;
mod secrets;
mod stream;

pub(crate) use config::{CallResult, ConfigHost};
pub(crate) use declarations::{Attribute, Map, NotSent};
pub(crate) use metrics::{LabelledId, MetricId, counts_without_stream};
pub(crate) use process::{is_validation, log, log_enabled};
pub(crate) use scheduler::{ConfigScheduler, Scheduler};
pub(crate) use secrets::{SecretId, has_secrets};
pub(crate) use stream::Host;
