//! The root context: configuration, ticks and the responses to fetches.

use std::hash::{BuildHasher as _, DefaultHasher, Hasher as _, RandomState};
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::abi::{self, Buffer};
use super::filter::Filter;
use super::logger;
use super::stream::Stream;
use crate::config;

/// The root context of one plugin in one VM.
pub(super) struct Root {
    id: u32,
    configured: Option<Configured>,
    /// The filters of earlier configurations that still have requests to decide, or fetches in progress.
    retired: Vec<Rc<Filter>>,
}

struct Configured {
    canonical: Vec<u8>,
    filter: Rc<Filter>,
}

impl Root {
    pub(super) fn new(id: u32) -> Self {
        Self {
            id,
            configured: None,
            retired: Vec::new(),
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, call: u32, header_count: usize, body_size: usize, _: usize) {
        let Some(configured) = &self.configured else {
            return;
        };
        configured.filter.handle_call(call, header_count, body_size);
        if !self.retired.is_empty() {
            // The number belongs to one filter. The others ignore it.
            for filter in &self.retired {
                filter.handle_call(call, header_count, body_size);
            }
            self.retired.retain(|filter| filter.finish());
            // The current filter finds in shared data what an earlier one has stored.
            configured.filter.tick();
        }
    }
}

/// Warns of settings that may not be intended: in one VM of the process, and once for a configuration.
fn warn(warnings: &[String], canonical: &[u8]) {
    if warnings.is_empty() {
        return;
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(canonical);
    let name = format!("proxy-wasm-jwt/warned/{:x}", hasher.finish());
    // Only the first write succeeds.
    if abi::set_shared_data(&name, b"1", u32::MAX).is_ok() {
        for warning in warnings {
            log::warn!("configuration: {warning}");
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        logger::follow_level();
        let bytes = match abi::buffer(Buffer::PluginConfiguration, size) {
            Ok(bytes) => bytes,
            Err(status) => {
                log::error!("the configuration cannot be read: {status:?}");
                return false;
            }
        };
        let canonical = config::canonical(&bytes);
        // An update of a listener without a change here configures the same root again: waiting requests and
        // keys stay.
        if self
            .configured
            .as_ref()
            .is_some_and(|configured| configured.canonical == canonical)
        {
            return true;
        }
        let config = match config::parse(&bytes) {
            Ok(config) => config,
            Err(error) => {
                // The host refuses the configuration without a reason, so the log contains it.
                for fault in error.all() {
                    log::error!("configuration refused: {fault}");
                }
                if error.omitted > 0 {
                    log::error!("configuration refused: there are {} more faults", error.omitted);
                }
                return false;
            }
        };
        warn(&config.warnings, &canonical);
        let filter = match Filter::new(self.id, config, RandomState::new().hash_one(self.id)) {
            Ok(filter) => Rc::new(filter),
            Err(fault) => {
                log::error!("configuration refused: {fault}");
                return false;
            }
        };
        filter.begin();
        // Fetches begin with the first tick, and not here: the host may discard this VM after it has tried
        // the configuration, and a lease would be lost with it.
        filter.set_tick_period(1);
        if let Some(before) = self.configured.replace(Configured { canonical, filter }) {
            before.filter.retire();
            // It answers the waiting requests, and may hold the lease of a fetch in progress: it shares the
            // result with the others.
            self.retired.push(before.filter);
            self.retired.retain(|filter| filter.finish());
        }
        true
    }

    fn on_tick(&mut self) {
        logger::follow_level();
        if let Some(configured) = &self.configured {
            configured.filter.tick();
            self.retired.retain(|filter| filter.finish());
            if self
                .retired
                .iter()
                .any(|filter| filter.has_decisions(filter.last_seen()))
            {
                configured.filter.set_tick_period(1);
            }
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        let filter = self
            .configured
            .as_ref()
            .map(|configured| configured.filter.clone());
        Some(Box::new(Stream::new(id, filter)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
