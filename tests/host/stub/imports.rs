//! The `proxy_*` functions that the SDK and `src/host/abi.rs` import, except those for a request.
//!
//! Arguments that point to a place for a result are references here: both callers pass the address of a
//! local.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};

use super::calls::{call, give, passed, passed_text};
use super::{BAD_ARGUMENT, Call, HOST, HeaderMap, INTERNAL_FAILURE, Line, Metric, NOT_FOUND, OK, Ticks};

/// Numbers of HTTP calls: never twice in a process, since the SDK keeps those that were never answered.
static LAST_CALL: AtomicU32 = AtomicU32::new(0);

/// A key without the fingerprint, which differs in each run.
fn key_name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_log(level: u32, data: *const u8, size: usize) -> u32 {
    let text = passed_text(data, size);
    HOST.with_borrow_mut(|host| {
        // Other crates log too, on threads that have no host.
        let Some(host) = host.as_mut() else { return OK };
        if let Some(status) = host.fault_in("proxy_log") {
            return status;
        }
        if level >= 2 {
            let level = ["info", "warn", "error", "critical"][(level as usize - 2).min(3)];
            host.story.push(format!("log {level}: {text}"));
        }
        host.lines.push(Line { level, text });
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_log_level(level: &mut u32) -> u32 {
    call("proxy_get_log_level", "log level".into(), |host| {
        *level = host.log_level;
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_current_time_nanoseconds(time: &mut u64) -> u32 {
    call("proxy_get_current_time_nanoseconds", "time".into(), |host| {
        *time = host.now * 1_000_000;
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_tick_period_milliseconds(period: u32) -> u32 {
    let words = format!("tick every {period} ms");
    call("proxy_set_tick_period_milliseconds", words, |host| {
        let period = u64::from(period);
        host.ticks = (period > 0).then_some(Ticks {
            period,
            next: host.now + period,
        });
        OK
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_buffer_bytes(
    buffer: u32,
    start: usize,
    max_size: usize,
    data: &mut *mut u8,
    size: &mut usize,
) -> u32 {
    let words = match buffer {
        4 => "answer's body".to_owned(),
        7 => "configuration".to_owned(),
        other => format!("buffer {other}"),
    };
    call("proxy_get_buffer_bytes", words, |host| {
        let bytes = match buffer {
            4 => host.answer.as_ref().map(|(_, body)| body),
            7 => host.configuration.as_ref(),
            _ => None,
        };
        match bytes {
            None => NOT_FOUND,
            Some(bytes) => {
                let end = bytes.len().min(start.saturating_add(max_size));
                give(bytes.get(start..end).unwrap_or_default(), data, size)
            }
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_get_shared_data(
    key: *const u8,
    key_size: usize,
    data: &mut *mut u8,
    size: &mut usize,
    cas: &mut u32,
) -> u32 {
    let key = passed_text(key, key_size);
    let words = format!("read shared {}", key_name(&key));
    call("proxy_get_shared_data", words, |host| {
        let shared = host.shared.lock().unwrap_or_else(PoisonError::into_inner);
        match shared.get(&key) {
            None => NOT_FOUND,
            Some((value, number)) => {
                *cas = number;
                give(&value, data, size)
            }
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_set_shared_data(
    key: *const u8,
    key_size: usize,
    value: *const u8,
    value_size: usize,
    cas: u32,
) -> u32 {
    let (key, value) = (passed_text(key, key_size), passed(value, value_size));
    let words = format!("write shared {}", key_name(&key));
    let between = HOST.with_borrow_mut(|host| host.as_mut()?.before_write.take());
    if let Some(between) = between {
        between();
    }
    call("proxy_set_shared_data", words, |host| {
        let mut shared = host.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.set(&key, &value, cas)
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: &mut u32) -> u32 {
    let name = passed_text(name, name_size);
    let words = format!("define {name}");
    call("proxy_define_metric", words, |host| {
        // Counter, gauge, histogram.
        if kind > 2 {
            return BAD_ARGUMENT;
        }
        let known = host.metrics.iter().position(|metric| metric.name == name);
        let index = known.unwrap_or_else(|| {
            host.metrics.push(Metric { name, value: 0 });
            host.metrics.len() - 1
        });
        *id = u32::try_from(index + 1).expect("few metrics");
        OK
    })
}

/// Runs `change` on a metric's value.
fn change_metric(import: &'static str, verb: &str, id: u32, change: impl FnOnce(u64) -> u64) -> u32 {
    let index = usize::try_from(id).expect("64 bits").wrapping_sub(1);
    let name = HOST.with_borrow(|host| {
        let metric = host.as_ref()?.metrics.get(index)?;
        Some(metric.name.clone())
    });
    let words = format!("{verb} {}", name.as_deref().unwrap_or("an unknown metric"));
    call(import, words, |host| match host.metrics.get_mut(index) {
        None => BAD_ARGUMENT,
        Some(metric) => {
            metric.value = change(metric.value);
            OK
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_increment_metric(id: u32, offset: i64) -> u32 {
    change_metric("proxy_increment_metric", "count", id, |value| {
        value.saturating_add_signed(offset)
    })
}

#[unsafe(no_mangle)]
extern "C" fn proxy_record_metric(id: u32, value: u64) -> u32 {
    change_metric("proxy_record_metric", "show", id, |_| value)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_http_call(
    cluster: *const u8,
    cluster_size: usize,
    headers: *const u8,
    headers_size: usize,
    _body: *const u8,
    body_size: usize,
    _trailers: *const u8,
    _trailers_size: usize,
    timeout: u32,
    id: &mut u32,
) -> u32 {
    let cluster = passed_text(cluster, cluster_size);
    let headers = HeaderMap::from_bytes(&passed(headers, headers_size)).unwrap_or_default();
    let words = format!("call {cluster}");
    call("proxy_http_call", words, |host| {
        let is_complete = [":method", ":path", ":authority"]
            .iter()
            .all(|name| headers.first(name).is_some());
        if !is_complete {
            return BAD_ARGUMENT;
        }
        // Envoy cancels a call from the context of a stream when its client disconnects.
        if host.stream().is_some() || body_size != 0 {
            host.misuse("a call from a stream, or with a body");
        }
        *id = LAST_CALL.fetch_add(1, Ordering::Relaxed) + 1;
        host.calls.push_back(Call {
            id: *id,
            cluster,
            headers,
            timeout,
        });
        OK
    })
}

/// Functions that the SDK imports and the filter does not use. Their arguments are omitted, because no call
/// passes any.
macro_rules! unused {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> u32 {
            call(stringify!($name), stringify!($name).into(), |host| {
                host.misuse(stringify!($name));
                INTERNAL_FAILURE
            })
        }
    )*};
}

unused! {
    proxy_set_buffer_bytes proxy_set_header_map_pairs proxy_add_header_map_value
    proxy_register_shared_queue proxy_resolve_shared_queue proxy_dequeue_shared_queue proxy_enqueue_shared_queue
    proxy_close_stream proxy_grpc_call proxy_grpc_stream proxy_grpc_send proxy_grpc_cancel proxy_grpc_close
    proxy_get_status proxy_done proxy_get_metric
}
