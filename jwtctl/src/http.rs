//! Sends the requests for keys that the filter would send through Envoy.

use std::sync::Arc;

use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Error};

use crate::core::fetch::{Answer, Ask, NoAnswer};

/// A client that follows no redirect, as Envoy follows none, and trusts the authorities of this machine, or
/// those of a file.
pub(crate) fn agent(authorities: Option<&str>) -> Result<Agent, String> {
    let roots = match authorities {
        Some(path) => {
            let pem = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
            let items = ureq::tls::parse_pem(&pem).filter_map(|item| match item {
                Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            });
            items.collect::<Vec<Certificate<'static>>>()
        }
        None => {
            let found = rustls_native_certs::load_native_certs().certs;
            found
                .iter()
                .map(|der| Certificate::from_der(der).to_owned())
                .collect()
        }
    };
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build();
    let config = Agent::config_builder()
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .tls_config(tls)
        .build();
    Ok(config.new_agent())
}

/// Asks for a document.
pub(crate) fn send(agent: &Agent, ask: &Ask) -> Result<Answer, NoAnswer> {
    let failed = |error: Error| match error {
        Error::Timeout(_) => NoAnswer::TimedOut,
        Error::BodyExceedsLimit(_) => NoAnswer::TooLarge,
        error => NoAnswer::Failed(error.to_string()),
    };
    let mut request = agent.get(&ask.url);
    for (name, value) in &ask.headers {
        request = request.header(*name, value);
    }
    let request = request.config().timeout_global(Some(ask.timeout)).build();
    let mut response = request.call().map_err(failed)?;
    let most = u64::try_from(ask.most).unwrap_or(u64::MAX);
    let body = response
        .body_mut()
        .with_config()
        .limit(most)
        .read_to_vec()
        .map_err(failed)?;
    let header = |name: &str| {
        response
            .headers()
            .get(name)
            .map(|value| value.as_bytes().to_vec())
    };
    Ok(Answer {
        status: response.status().as_u16(),
        body,
        cache_control: header("cache-control"),
        etag: header("etag"),
        retry_after: header("retry-after"),
        content_encoding: header("content-encoding"),
        location: header("location"),
    })
}

/// What to do about a request without an answer. Envoy checks the certificate in the same way.
pub(crate) fn advice(why: &str) -> Option<&'static str> {
    if !why.contains("certificate") {
        return None;
    }
    Some(match () {
        () if why.contains("expired") || why.contains("not valid yet") => {
            "Envoy refuses this certificate too; renew it, and check the clocks of the server and of this machine"
        }
        () if why.contains("not valid for name") => {
            "Envoy refuses this certificate too, if the cluster checks the name; use a host that is in the certificate"
        }
        () => {
            "name the authority of the server's certificate with --ca; in Envoy, it has to be in `trusted_ca` of the cluster"
        }
    })
}
