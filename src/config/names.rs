//! Values that several parts of the configuration share, each kept once.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::locations::Locations;
use super::options::{FindSecret, ReadKeys};
use crate::forward::OwnedHeaders;
use crate::ids::{ConditionId, FieldId, MatcherId, ScopesId};
use crate::pattern::PatternSet;
use crate::policy::{ProtectedResource, ProtectedResources};
use crate::request::WantedFields;
use crate::settings::ConditionText;

/// Values that several parts of the configuration share, each kept once.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The configuration was a message, in which numbers are doubles.
    pub(super) has_doubles: bool,
    /// The reader of `local_jwks`.
    pub(super) read_keys: ReadKeys,
    /// The finder of secrets that the host gets under a name.
    pub(super) find_secret: Option<FindSecret>,
    pub(super) wanted: WantedFields,
    pub(super) locations: Locations,
    pub(super) owned_headers: OwnedHeaders,
    pub(super) scopes: Vec<String>,
    pub(super) conditions: Vec<ConditionText>,
    pub(super) resources: Vec<ProtectedResource>,
    /// Warnings: settings that may not be intended.
    pub(super) warnings: Vec<String>,
    /// How many matchers there are.
    pub(super) matchers: usize,
    /// The patterns for each text: the path, each header field, each query parameter.
    pub(super) patterns: BTreeMap<String, Rc<PatternSet>>,
}

impl Names {
    /// The patterns for this text.
    pub(super) fn patterns(&mut self, text: &str) -> Rc<PatternSet> {
        self.patterns.entry(text.to_owned()).or_default().clone()
    }

    /// The protected resources, and the fields that identify a request for their metadata.
    pub(super) fn protected_resources(&mut self, has_own: bool) -> ProtectedResources {
        let all = std::mem::take(&mut self.resources);
        let shares_path = all.iter().enumerate().any(|(index, resource)| {
            all.iter()
                .take(index)
                .any(|other| other.document_path() == resource.document_path())
        });
        ProtectedResources {
            all,
            has_own,
            path: self.field(":path"),
            method: self.field(":method"),
            authority: shares_path.then(|| self.field(":authority")),
        }
    }

    /// The index of a challenge's scopes.
    pub(super) fn scope(&mut self, scopes: &str) -> ScopesId {
        let known = self.scopes.iter().position(|known| known == scopes);
        ScopesId::new(known.unwrap_or_else(|| {
            self.scopes.push(scopes.to_owned());
            self.scopes.len().saturating_sub(1)
        }))
    }

    /// The index of the condition at this place, or of a parameter of this name, which has no text.
    pub(super) fn condition(&mut self, name: String, text: Box<str>) -> ConditionId {
        let id = ConditionId::new(self.conditions.len());
        self.conditions.push(ConditionText { name, text });
        id
    }

    /// The index of the next matcher.
    pub(super) fn matcher(&mut self) -> MatcherId {
        let id = MatcherId::new(self.matchers);
        self.matchers = self.matchers.saturating_add(1);
        id
    }

    pub(super) fn field(&mut self, name: &str) -> FieldId {
        self.wanted.id(name)
    }
}
