//! `protected_resource`: what a client may learn of this resource before it has a token (RFC 9728).
//!
//! Owns which request asks for the metadata document, the document itself, and the address of it that challenges name.

use std::rc::Rc;

use serde::Serialize;

use super::path::RequestPath;
use crate::denial::{Denial, Reason};
use crate::http::{Authority, split_url};
use crate::ids::FieldId;
use crate::reply::LocalReply;
use crate::request::RequestHead;

/// RFC 9728 section 3: "the well-known URI path suffix […] `oauth-protected-resource`".
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// `%RESPONSE_CODE_DETAILS%` of a document that is answered here.
const DETAILS: &str = "jwt_protected_resource_metadata";

/// The metadata of RFC 9728 section 2, but for `resource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ResourceMetadata {
    /// "JSON array containing a list of OAuth authorization server issuer identifiers".
    pub authorization_servers: Vec<Box<str>>,
    /// "JSON array containing a list of scope values". Section 3.2: "Parameters with zero values MUST be omitted".
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<Box<str>>,
    /// "`header`, `body`, and `query`, […] the empty array `[]` can be used to indicate that no bearer methods are supported."
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
    /// Written out.
    Fixed {
        /// Scheme and authority, in lower case.
        origin: Box<str>,
        /// The path; empty, or with a leading slash.
        path: Box<str>,
    },
    /// The request's own host and scheme, with this path.
    FromHost {
        /// `:authority`.
        authority: FieldId,
        /// `x-forwarded-proto`, which Envoy sets on every request.
        scheme: FieldId,
        /// As above.
        path: Box<str>,
    },
}

/// One of the resources that the configuration speaks of.
#[derive(Debug)]
pub struct ProtectedResource {
    identity: ResourceIdentity,
    metadata: ResourceMetadata,
    /// Where it is, unless it is on every host.
    host: Option<Authority<'static>>,
    /// Where its document is: the well-known path, and the resource's own appended.
    document_path: Box<str>,
    /// What is answered there and named in challenges, where the request has no say in it.
    fixed: Option<(Rc<LocalReply>, Rc<str>)>,
}

/// All of them, and how a request for a document is told.
#[derive(Debug)]
pub struct ProtectedResources {
    /// The filter's own first, if it has one, then those of rules.
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

/// A host with its port, which may be in a quoted-string and in JSON without any escape.
fn read_authority(bytes: &[u8]) -> Option<String> {
    let is_sound = bytes.len() <= 255 && Authority::parse(bytes).is_some();
    String::from_utf8(bytes.to_ascii_lowercase())
        .ok()
        .filter(|_| is_sound)
}

impl ProtectedResource {
    /// Writes what can be written without a request.
    #[must_use]
    pub fn new(identity: ResourceIdentity, metadata: ResourceMetadata) -> Self {
        // Section 3.1: "any terminating slash (/) following the host component MUST be removed before inserting".
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

    /// What its document says.
    #[must_use]
    pub fn metadata(&self) -> &ResourceMetadata {
        &self.metadata
    }

    /// Where its document is.
    #[must_use]
    pub fn document_path(&self) -> &str {
        &self.document_path
    }

    /// The address of the document, for challenges (section 5.1: `resource_metadata`). `None` where the request's host cannot
    /// be written into one.
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
        // What follows from a request's own fields is for whoever sent them, and for no one else.
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
            // The document is public, and clients that run in a browser need it as others do.
            ("access-control-allow-origin", "*".to_owned()),
        ],
        body: serde_json::to_vec(&Document { resource, metadata }).unwrap_or_default(),
        message: "",
        grpc_status: None,
    }
}

/// A browser asks first, since clients send fields of their own with the request.
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
    pub fn own(&self) -> Option<usize> {
        self.has_own.then_some(0)
    }

    /// The answer to a request for a metadata document; `None` for any other request.
    ///
    /// Fails with `request_malformed` where the document would have to name a host that cannot be one.
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

    /// Of several resources at one path, the one of the request's host, on this port or any, or the one that is on every host.
    /// Without a path the filter's own resource is meant, or the only one there is.
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
    fn a_document_stands_below_the_well_known_path() {
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
