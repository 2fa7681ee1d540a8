//! `protected_resource`: the metadata that a client may read before it has a token
//! ([RFC 9728](https://www.rfc-editor.org/rfc/rfc9728)).
//!
//! It recognizes requests for the metadata document, and has the document and its URL for challenges.

use std::rc::Rc;

use serde::Serialize;

use super::path::RequestPath;
use crate::denial::{Denial, Reason};
use crate::http::{Authority, split_url};
use crate::ids::{FieldId, ResourceId};
use crate::reply::LocalReply;
use crate::request::RequestHead;

/// RFC 9728 section 3: "the well-known URI path suffix […] `oauth-protected-resource`".
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// `%RESPONSE_CODE_DETAILS%` of a document that the filter serves.
const DETAILS: &str = "jwt_protected_resource_metadata";

/// The metadata of [RFC 9728 section 2](https://www.rfc-editor.org/rfc/rfc9728#section-2), without
/// `resource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ResourceMetadata {
    /// "JSON array containing a list of OAuth authorization server issuer identifiers".
    pub authorization_servers: Vec<Box<str>>,
    /// "JSON array containing a list of scope values". Section 3.2: "Parameters with zero values MUST be
    /// omitted".
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<Box<str>>,
    /// "`header`, `body`, and `query`, […] the empty array `[]` can be used to indicate that no bearer
    /// methods are supported."
    pub bearer_methods_supported: Vec<&'static str>,
    /// "Human-readable name of the protected resource intended for display to the end user."
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<Box<str>>,
    /// "URL of a page containing human-readable information".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_documentation: Option<Box<str>>,
}

#[derive(Serialize)]
struct Document<'a> {
    resource: &'a str,
    #[serde(flatten)]
    metadata: &'a ResourceMetadata,
}

/// The resource's identifier: `resource`, or `resource_from_host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceIdentity {
    /// A fixed identifier.
    Fixed {
        /// Scheme and authority, in lower case.
        origin: Box<str>,
        /// The path; empty, or with a leading slash.
        path: Box<str>,
    },
    /// The request's own scheme and host, with this path.
    FromHost {
        /// `:authority`.
        authority: FieldId,
        /// `x-forwarded-proto`, which Envoy sets on every request.
        scheme: FieldId,
        /// As above.
        path: Box<str>,
    },
}

/// One of the resources of the configuration.
#[derive(Debug)]
pub struct ProtectedResource {
    identity: ResourceIdentity,
    metadata: ResourceMetadata,
    /// The scheme and the host; `None`: the resource is on every host.
    host: Option<Authority<'static>>,
    /// The path of its document: the well-known path, followed by the resource's own.
    document_path: Box<str>,
    /// The document and its URL, if they do not depend on the request.
    fixed: Option<(Rc<LocalReply>, Rc<str>)>,
}

/// All resources, and the fields that identify a request for a document.
#[derive(Debug)]
pub struct ProtectedResources {
    /// The filter's own first, if it has one, then those of the rules.
    pub all: Vec<ProtectedResource>,
    /// Whether the first is the filter's own.
    pub has_own: bool,
    /// `:path`.
    pub path: FieldId,
    /// `:method`.
    pub method: FieldId,
    /// `:authority`, where several resources share a document's path.
    pub authority: Option<FieldId>,
}

impl ResourceIdentity {
    /// The path; empty, or with a leading slash.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Fixed { path, .. } | Self::FromHost { path, .. } => path,
        }
    }

    fn origin(&self, request: &RequestHead) -> Option<Rc<str>> {
        match self {
            Self::Fixed { origin, .. } => Some(Rc::from(&**origin)),
            Self::FromHost {
                authority, scheme, ..
            } => {
                let authority = read_authority(request.first(*authority)?)?;
                let scheme = match request.first(*scheme) {
                    Some(b"http") => "http",
                    _ => "https",
                };
                Some(format!("{scheme}://{authority}").into())
            }
        }
    }
}

/// A host with its port, which needs no escape in a quoted-string or in JSON.
fn read_authority(bytes: &[u8]) -> Option<String> {
    let is_sound = bytes.len() <= 255 && Authority::parse(bytes).is_some();
    String::from_utf8(bytes.to_ascii_lowercase())
        .ok()
        .filter(|_| is_sound)
}

impl ProtectedResource {
    /// Writes the parts that do not depend on a request.
    #[must_use]
    pub fn new(identity: ResourceIdentity, metadata: ResourceMetadata) -> Self {
        // Section 3.1: "any terminating slash (/) following the host component MUST be removed before
        // inserting".
        let path = match identity.path() {
            "/" => "",
            path => path,
        };
        let document_path: Box<str> = format!("{WELL_KNOWN}{path}").into();
        let fixed = match &identity {
            ResourceIdentity::Fixed { origin, path } => {
                let reply = document(&format!("{origin}{path}"), &metadata, "max-age=3600");
                let url = format!("{origin}{document_path}");
                Some((Rc::new(reply), url.into()))
            }
            ResourceIdentity::FromHost { .. } => None,
        };
        let host = match &identity {
            ResourceIdentity::Fixed { origin, .. } => split_url(origin)
                .and_then(|(_, authority, _)| Authority::parse(authority.as_bytes()))
                .map(Authority::into_owned),
            ResourceIdentity::FromHost { .. } => None,
        };
        Self {
            identity,
            metadata,
            host,
            document_path,
            fixed,
        }
    }

    /// Its identifier.
    #[must_use]
    pub fn identity(&self) -> &ResourceIdentity {
        &self.identity
    }

    /// The content of its document.
    #[must_use]
    pub fn metadata(&self) -> &ResourceMetadata {
        &self.metadata
    }

    /// The place of its document.
    #[must_use]
    pub fn document_path(&self) -> &str {
        &self.document_path
    }

    /// The URL of the document, for challenges (section 5.1: `resource_metadata`). `None` if the request's
    /// host cannot be a part of it.
    #[must_use]
    pub fn document_url(&self, request: &RequestHead) -> Option<Rc<str>> {
        match &self.fixed {
            Some((_, url)) => Some(url.clone()),
            None => {
                let origin = self.identity.origin(request)?;
                Some(format!("{origin}{}", self.document_path).into())
            }
        }
    }

    fn answer(&self, request: &RequestHead) -> Result<Rc<LocalReply>, Denial> {
        if let Some((reply, _)) = &self.fixed {
            return Ok(reply.clone());
        }
        let origin = self
            .identity
            .origin(request)
            .ok_or(Denial::new(Reason::RequestMalformed).with_detail("host"))?;
        let resource = format!("{origin}{}", self.identity.path());
        // A response that depends on the request's own fields is for its sender only.
        Ok(Rc::new(document(&resource, &self.metadata, "no-store")))
    }
}

fn document(resource: &str, metadata: &ResourceMetadata, cache_control: &str) -> LocalReply {
    LocalReply {
        status: 200,
        details: DETAILS.to_owned(),
        headers: vec![
            // Section 3.2: "using the application/json content type".
            ("content-type", "application/json".to_owned()),
            ("cache-control", cache_control.to_owned()),
            // The document is public, and clients in a browser need it too.
            ("access-control-allow-origin", "*".to_owned()),
        ],
        body: serde_json::to_vec(&Document { resource, metadata }).unwrap_or_default(),
        message: "",
        grpc_status: None,
    }
}

/// A browser sends a preflight first, because clients add fields of their own.
fn preflight() -> LocalReply {
    LocalReply {
        status: 204,
        details: DETAILS.to_owned(),
        headers: vec![
            ("access-control-allow-origin", "*".to_owned()),
            ("access-control-allow-methods", "GET, HEAD".to_owned()),
            ("access-control-allow-headers", "*".to_owned()),
            ("access-control-max-age", "3600".to_owned()),
        ],
        body: Vec::new(),
        message: "",
        grpc_status: None,
    }
}

impl ProtectedResources {
    /// The filter's own resource.
    #[must_use]
    pub fn own(&self) -> Option<ResourceId> {
        self.has_own.then_some(ResourceId::new(0))
    }

    /// The response to a request for a metadata document; `None` for any other request.
    ///
    /// # Errors
    ///
    /// Fails with `request_malformed` if the document would have to name a host that cannot exist.
    pub fn answer(&self, request: &RequestHead) -> Option<Result<Rc<LocalReply>, Denial>> {
        let path = RequestPath::new(request.first(self.path)?);
        let suffix = path.bytes().strip_prefix(WELL_KNOWN.as_bytes())?;
        let resource = self.find(path.bytes(), suffix.is_empty(), request)?;
        match request.first(self.method)? {
            b"GET" | b"HEAD" => Some(resource.answer(request)),
            b"OPTIONS" => Some(Ok(Rc::new(preflight()))),
            _ => None,
        }
    }

    /// Of several resources with this path, the function prefers one on the request's host, with this port or
    /// with any, and then one on every host. Without a path, it returns the filter's own resource, or the
    /// only one.
    fn find(&self, path: &[u8], is_bare: bool, request: &RequestHead) -> Option<&ProtectedResource> {
        let at_path = |resource: &&ProtectedResource| resource.document_path.as_bytes() == path;
        let mut all = self.all.iter().filter(at_path);
        match (all.next(), all.next()) {
            (None, _) => match self.all.as_slice() {
                [first, rest @ ..] if is_bare && (self.has_own || rest.is_empty()) => Some(first),
                _ => None,
            },
            (only, None) => only,
            _ => {
                let authority = request.authority(self.authority?);
                let of_host = |is_it: fn(&Authority<'_>, &Authority<'_>) -> bool| {
                    let is_it =
                        |host: &Authority<'_>| authority.as_ref().is_some_and(|asked| is_it(host, asked));
                    self.all
                        .iter()
                        .filter(at_path)
                        .find(|resource| resource.host.as_ref().is_some_and(is_it))
                };
                of_host(|host, asked| host == asked)
                    .or_else(|| of_host(|host, asked| host.port().is_none() && host.is_host_of(asked)))
                    .or_else(|| {
                        self.all
                            .iter()
                            .filter(at_path)
                            .find(|resource| resource.fixed.is_none())
                    })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_and_nothing_else() {
        for (text, expected) in [
            ("API.example.com:8443", Some("api.example.com:8443")),
            ("[::1]:80", Some("[::1]:80")),
            ("", None),
            ("a\"b", None),
            ("a/b", None),
            ("user@host", None),
            ("a b", None),
        ] {
            assert_eq!(read_authority(text.as_bytes()).as_deref(), expected, "{text}");
        }
        assert_eq!(read_authority(&[0xff]), None);
        assert_eq!(read_authority(&[b'a'; 256]), None);
    }

    #[test]
    fn a_document_is_below_the_well_known_path() {
        for (path, expected) in [
            ("", "/.well-known/oauth-protected-resource"),
            ("/", "/.well-known/oauth-protected-resource"),
            ("/mcp", "/.well-known/oauth-protected-resource/mcp"),
            ("/a/b/", "/.well-known/oauth-protected-resource/a/b/"),
        ] {
            let identity = ResourceIdentity::Fixed {
                origin: "https://api.example.com".into(),
                path: path.into(),
            };
            let resource = ProtectedResource::new(identity, ResourceMetadata::default());
            assert_eq!(resource.document_path(), expected);
        }
    }
}
