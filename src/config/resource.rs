//! `protected_resource`: the metadata of [RFC 9728](https://www.rfc-editor.org/rfc/rfc9728), which a client
//! can read before it has a token.

use super::error::ConfigError;
use super::fields::ProtectedResourceObject;
use super::issuer::refuse_document;
use super::node::{Node, read_each};
use super::reader::Fields;
use super::{Names, authorize, remote};
use crate::claims::ClaimRules;
use crate::credential::Location;
use crate::http::{Authority, HttpUri, split_url};
use crate::ids::{ProviderId, ResourceId};
use crate::policy::{ProtectedResource, RequestPath, ResourceIdentity, ResourceMetadata};
use crate::provider::Provider;

/// Reads a resource whose tokens come from these providers. Returns its index.
pub(super) fn read(
    node: &Node<'_>,
    providers: &[Provider],
    ids: &[ProviderId],
    names: &mut Names,
) -> Result<ResourceId, Box<ConfigError>> {
    let fields = node.fields(ProtectedResourceObject)?;
    let identity = node.keep(read_identity(node, &fields, names));
    let providers: Vec<&Provider> = ids.iter().filter_map(|id| providers.get(id.index())).collect();

    let mut authorization_servers = Vec::new();
    if let Some(node) = fields.get(ProtectedResourceObject::authorization_servers) {
        for element in node.list()? {
            remote::read_uri(&element)?;
            refuse_document(&element, &element.name()?)?;
        }
        authorization_servers = node.names()?;
    }
    if authorization_servers.is_empty() {
        for ClaimRules {
            issuers,
            issuer_pattern,
            ..
        } in providers.iter().map(|provider| &provider.claims)
        {
            // A client can use neither a pattern nor a text that is not a URL.
            let server = issuers.iter().find(|issuer| HttpUri::parse(issuer).is_ok());
            if let (None, Some(server)) = (issuer_pattern, server)
                && !authorization_servers.contains(server)
            {
                authorization_servers.push(server.clone());
            }
        }
    }
    let mut scopes_supported = Vec::new();
    if let Some(node) = fields.get(ProtectedResourceObject::scopes_supported) {
        scopes_supported = read_each(&node.list()?, authorize::read_scope)?;
    }
    let documentation = fields.get(ProtectedResourceObject::resource_documentation);
    if let Some(node) = &documentation {
        remote::read_uri(node)?;
    }
    let metadata = ResourceMetadata {
        resource_name: fields.read(ProtectedResourceObject::resource_name)?,
        resource_documentation: documentation.map(|node| node.name()).transpose()?,
        bearer_methods_supported: bearer_methods(&providers, names),
        authorization_servers,
        scopes_supported,
    };
    let is_read = |provider: &&Provider| !provider.claims.issuers.is_empty();
    // They may be issuers of providers with faults.
    if metadata.authorization_servers.is_empty() && !providers.is_empty() && providers.iter().all(is_read) {
        return Err(node.invalid("no provider's issuer is a plain URL; write `authorization_servers`"));
    }
    let identity = identity.ok_or_else(ConfigError::reported)?;
    // Two identical objects are one resource, because several rules may refer to it. Two documents with one
    // URL are a fault.
    let mut known = names.resources.iter().enumerate();
    match known.find(|(_, known)| *known.identity() == identity) {
        Some((index, known)) if *known.metadata() == metadata => Ok(ResourceId::new(index)),
        Some(_) => Err(node.invalid(
            "another `protected_resource` describes the same resource differently; describe each resource in one way",
        )),
        None => {
            let id = ResourceId::new(names.resources.len());
            names.resources.push(ProtectedResource::new(identity, metadata));
            Ok(id)
        }
    }
}

fn read_identity(
    node: &Node<'_>,
    fields: &Fields<'_, ProtectedResourceObject>,
    names: &mut Names,
) -> Result<ResourceIdentity, Box<ConfigError>> {
    let path = fields.get(ProtectedResourceObject::resource_path);
    let read_path = fields.keep(path.map(read_path).transpose());
    // A faulty one is present, too.
    let from_host = fields.keep(fields.read(ProtectedResourceObject::resource_from_host));
    let from_host = from_host.unwrap_or(Some(true)).unwrap_or_default();
    match (fields.get(ProtectedResourceObject::resource), from_host) {
        (Some(resource), false) => {
            if let Some(path) = path {
                return Err(path.invalid("applies only to `resource_from_host`; `resource` has its path already"));
            }
            read_url(resource)
        }
        (None, true) => {
            Ok(ResourceIdentity::FromHost {
                authority: names.field(":authority"),
                scheme: names.field("x-forwarded-proto"),
                path: read_path.flatten().unwrap_or_default(),
            })
        }
        _ => Err(node.invalid(
            "write the resource's identifier as `resource: https://…`, or `resource_from_host: true` to take the request's own host",
        )),
    }
}

fn read_path(node: &Node<'_>) -> Result<Box<str>, Box<ConfigError>> {
    let path = node.name()?;
    match is_path(&path) {
        true => Ok(path),
        false => Err(node.invalid(format!(
            "`{path}` is not a canonical path, which begins with `/`; write it as in /mcp"
        ))),
    }
}

/// RFC 9728 section 1.2: "a URL that uses the https scheme and has no fragment component". This filter
/// permits no query either.
fn read_url(node: &Node<'_>) -> Result<ResourceIdentity, Box<ConfigError>> {
    let url = node.name()?;
    let fault = || {
        node.invalid(format!(
            "`{url}` is not a resource's identifier; write an https URL with a canonical path and without query and fragment"
        ))
    };
    let (scheme, authority, path) = split_url(&url).ok_or_else(fault)?;
    let is_loopback = ["localhost", "127.0.0.1", "[::1]"]
        .iter()
        .any(|host| authority == *host || authority.starts_with(&format!("{host}:")));
    // http is permitted on the local machine only, for tests.
    let is_scheme = scheme == "https" || (scheme == "http" && is_loopback);
    if !is_scheme || Authority::parse(authority.as_bytes()).is_none() || !(path.is_empty() || is_path(path)) {
        return Err(fault());
    }
    Ok(ResourceIdentity::Fixed {
        origin: format!("{scheme}://{}", authority.to_ascii_lowercase()).into(),
        path: path.into(),
    })
}

/// RFC 3986 section 3.3: pchar and the slash. A request for a document needs a canonical path.
fn is_path(path: &str) -> bool {
    let is_path_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:@".contains(&byte);
    path.bytes().all(is_path_byte) && RequestPath::new(path.as_bytes()).is_canonical()
}

/// The methods of RFC 6750 section 2 by which these providers accept tokens. RFC 6750 has no name for other
/// locations.
fn bearer_methods(providers: &[&Provider], names: &Names) -> Vec<&'static str> {
    let mut methods = Vec::new();
    for provider in providers {
        for id in &provider.locations {
            let method = match names.locations.get(*id) {
                Some(Location::Header { name, prefix, .. })
                    if **name == *"authorization" && prefix.eq_ignore_ascii_case(b"Bearer ") =>
                {
                    "header"
                }
                Some(Location::Parameter { name, .. }) if **name == *"access_token" => "query",
                _ => continue,
            };
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
    }
    methods
}
