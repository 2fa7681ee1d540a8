//! How long a VM takes to read a configuration of 10 providers with two keys each, and 100 rules.
//!
//! Envoy's trace log has the times at which Envoy enters a VM and leaves it. Each of its starts configures
//! three VMs: one that is thrown away, the main thread's and the worker's. They are all fresh, as in
//! production, and the figure includes all of them. It also includes the time to write the log: two lines for
//! each host call.

use testkit::{Bootstrap, EnvoyOptions, EnvoyProcess, Listener, WasmFilter};

use crate::tokens::Keys;

pub(crate) const NAME: &str = "start";

/// The times of this many starts of Envoy, in ms.
pub(crate) fn measure(keys: &Keys, starts: usize) -> Vec<f64> {
    let filter = WasmFilter::new(testkit::workload(&keys.of_an_issuer())).build();
    let config = Bootstrap::new()
        .listener(
            Listener::new("start")
                .filter(filter)
                .route(crate::stack::answer()),
        )
        .build();
    let mut options = EnvoyOptions::default().component_levels("wasm:trace");
    // Seconds, nanoseconds, the thread, and the message.
    options.args = ["--log-format", "%E.%F %t %v"].map(str::to_owned).to_vec();
    let times: Vec<f64> = (0..starts)
        .flat_map(|_| {
            let envoy = EnvoyProcess::start_with(&config, &options);
            configured(&envoy.log())
        })
        .collect();
    assert!(times.len() >= 3 * starts, "Envoy's log says too little");
    times
}

/// From each entry to its return.
fn configured(log: &str) -> Vec<f64> {
    let moments = |what: &str| -> Vec<(String, f64)> {
        log.lines()
            .filter(|line| line.contains(what))
            .filter_map(|line| {
                let mut words = line.split(' ');
                let moment = words.next()?.parse().ok()?;
                Some((words.next()?.to_owned(), moment))
            })
            .collect()
    };
    let ends = moments("[host<-vm] proxy_on_configure return: 1");
    moments("[host->vm] proxy_on_configure(")
        .into_iter()
        .filter_map(|(thread, start)| {
            let (_, end) = ends
                .iter()
                .find(|(known, end)| *known == thread && *end >= start)?;
            Some((end - start) * 1000.0)
        })
        .collect()
}
