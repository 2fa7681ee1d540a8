//! `binding`: whether only their owner may use a provider's tokens.

use super::error::ConfigError;
use super::fields::{BindingObject, DpopObject, NonceObject, NonceSecretObject, TrustXfccObject};
use super::node::Node;
use super::reader::FlagOrFields;
use super::{Names, algorithms, data_source};
use crate::binding::dpop::{Dpop, DpopFields};
use crate::binding::nonce::{NonceSecret, Nonces, SecretSource};
use crate::binding::{Binding, Check, Element, Forwarded};
use crate::json::Kind;
use crate::provider::Provider;

/// Envoy reads `off` without quotation marks in YAML as `false`.
fn is_off(node: &Node<'_>) -> bool {
    node.bool().is_ok_and(|flag| !flag) || node.text().is_ok_and(|text| *text == *"off")
}

// Not inlined here and below, for the memory of Envoy: docs/adr/0010-build-settings.md.
#[inline(never)]
pub(super) fn read(node: &Node<'_>, names: &mut Names) -> Result<Binding, Box<ConfigError>> {
    if is_off(node) {
        return Ok(Binding::Off);
    }
    let fields = node.fields(BindingObject)?;
    let mut dpop = None;
    if let Some(node) = fields.get(BindingObject::dpop).filter(|node| !is_off(node)) {
        dpop = node.keep(read_dpop(node, names));
    }
    let mtls = match fields.get(BindingObject::mtls) {
        Some(node) if is_off(node) => Some(Check::Off),
        _ => fields.keep(fields.value(BindingObject::mtls)),
    };
    let mut forwarded = None;
    if let Some(node) = fields.get(BindingObject::trust_xfcc)
        && let Some(element) = read_element(node)?
    {
        if mtls == Some(Check::Off) {
            return Err(node.lacks("needs `mtls: if_present` or `mtls: required`"));
        }
        forwarded = Some(Forwarded {
            field: names.field("x-forwarded-client-cert"),
            element,
        });
    }
    Ok(Binding::Checked {
        mtls: mtls.ok_or_else(ConfigError::reported)?,
        forwarded,
        dpop,
    })
}

fn read_element(node: &Node<'_>) -> Result<Option<Element>, Box<ConfigError>> {
    Ok(match node.flag_or_fields(TrustXfccObject)? {
        FlagOrFields::Flag(false) => None,
        FlagOrFields::Flag(true) => Some(Element::Only),
        FlagOrFields::Fields(fields) => {
            let count = fields.required(TrustXfccObject::trusted_hops)?;
            Some(Element::LastBut(usize::try_from(count).unwrap_or(usize::MAX)))
        }
    })
}

#[inline(never)]
fn read_dpop(node: &Node<'_>, names: &mut Names) -> Result<Dpop, Box<ConfigError>> {
    let fields = node.fields(DpopObject)?;
    let required = fields.value(DpopObject::required)?;
    let window = fields.value(DpopObject::window)?;
    let nonce = match fields.get(DpopObject::nonce) {
        Some(node) => read_nonces(node, names)?,
        None => None,
    };
    let algorithms = algorithms::read(fields.get(DpopObject::algorithms))?;
    Ok(Dpop {
        required,
        window,
        widest_window: window,
        nonce,
        algorithms,
        fields: DpopFields {
            proof: names.field("dpop"),
            method: names.field(":method"),
            path: names.field(":path"),
            authority: names.field(":authority"),
            scheme: names.field("x-forwarded-proto"),
        },
    })
}

/// A proof that one provider accepted may come again under the rule of another provider with a wider window.
pub(super) fn remember_for_widest_window(providers: &mut [Provider]) {
    let windows = providers.iter().filter_map(|provider| provider.binding.dpop());
    let Some(widest) = windows.map(|dpop| dpop.window).max() else {
        return;
    };
    for provider in providers {
        if let Binding::Checked { dpop: Some(dpop), .. } = &mut provider.binding {
            dpop.widest_window = widest;
        }
    }
}

fn read_nonces(node: &Node<'_>, names: &Names) -> Result<Option<Nonces>, Box<ConfigError>> {
    let fields = match node.flag_or_fields(NonceObject)? {
        FlagOrFields::Flag(false) => return Ok(None),
        FlagOrFields::Flag(true) => node.without_fields(NonceObject),
        FlagOrFields::Fields(fields) => fields,
    };
    Ok(Some(Nonces {
        lifetime: fields.value(NonceObject::lifetime)?,
        secret: match fields.get(NonceObject::secret) {
            Some(node) => read_secret(node, names)?,
            None => SecretSource::Process,
        },
    }))
}

/// Envoy's `DataSource` in the configuration itself, or its `SdsSecretConfig`.
fn read_secret(node: &Node<'_>, names: &Names) -> Result<SecretSource, Box<ConfigError>> {
    let instead =
        "write the secret into `inline_string`, or leave `secret` out: then each process makes its own";
    let fields = node.fields(NonceSecretObject)?;
    let sds_config = fields.get(NonceSecretObject::sds_config);
    if let Some(node) = fields.get(NonceSecretObject::name).or(sds_config) {
        let Some(find) = names.find_secret else {
            return Err(node.invalid(format!(
                "only the native module gets secrets from Envoy; {instead}"
            )));
        };
        let name = fields.require(NonceSecretObject::name)?.name()?;
        if fields.len() > 1_usize.saturating_add(usize::from(sds_config.is_some())) {
            return Err(node.invalid("excludes all fields but `sds_config`"));
        }
        let sds_config = match sds_config {
            Some(node) if node.value().kind() != Kind::Object => return Err(node.wrong_type("object")),
            node => node.map(Node::value),
        };
        return Ok(SecretSource::Named(find(
            &name,
            sds_config.map(|json| json.text()),
        )));
    }
    let written = data_source::written!(node, NonceSecretObject);
    let secret = data_source::read_secret(node, written, instead)?;
    Ok(SecretSource::Configured(NonceSecret::derive(&secret)))
}
