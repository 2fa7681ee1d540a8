//! The workloads that a policy selects.

use crate::source::Node;

/// The namespace whose policies apply to every namespace.
const ROOT_NAMESPACE: &str = "istio-system";

/// The workloads of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Workloads {
    namespace: String,
    labels: Vec<(String, String)>,
    /// `targetRef` and `targetRefs`.
    targets: Vec<String>,
}

impl Workloads {
    pub(super) fn of(policy: &Node) -> Self {
        let text = |path: &[&str]| policy.text_at(path).unwrap_or_default().to_owned();
        let labels = policy.at(&["spec", "selector", "matchLabels"]);
        let mut labels: Vec<(String, String)> = labels
            .map_or(&[][..], Node::members)
            .iter()
            .map(|(key, value)| (key.name.clone(), value.to_json().to_string()))
            .collect();
        labels.sort();
        let target = policy.at(&["spec", "targetRef"]);
        let targets = policy.at(&["spec", "targetRefs"]).map_or(&[][..], Node::elements);
        let mut targets: Vec<String> = target
            .into_iter()
            .chain(targets)
            .map(|target| {
                let part = |name: &str| target.text_at(&[name]).unwrap_or_default().to_owned();
                format!("{} {}", part("kind"), part("name"))
            })
            .collect();
        targets.sort();
        Self {
            namespace: text(&["metadata", "namespace"]),
            labels,
            targets,
        }
    }

    pub(super) fn are_all(&self) -> bool {
        self.labels.is_empty() && self.targets.is_empty()
    }

    /// Whether a policy for these applies to all of those as well.
    pub(super) fn contain(&self, those: &Self) -> bool {
        let is_root = self.namespace == ROOT_NAMESPACE;
        (is_root || self.namespace == those.namespace)
            && self.targets.iter().all(|target| those.targets.contains(target))
            && self.labels.iter().all(|label| those.labels.contains(label))
    }

    /// Whether some workload may belong to both, judged by the labels.
    pub(super) fn may_overlap(&self, those: &Self) -> bool {
        let is_root = |one: &Self| one.namespace == ROOT_NAMESPACE;
        let differs = |(name, value): &(String, String)| {
            those
                .labels
                .iter()
                .any(|(other, text)| other == name && text != value)
        };
        (is_root(self) || is_root(those) || self.namespace == those.namespace)
            && self.targets.is_empty() == those.targets.is_empty()
            && !self.labels.iter().any(differs)
    }
}

impl std::fmt::Display for Workloads {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &*self.namespace {
            "" => write!(to, "the namespace of the policies")?,
            ROOT_NAMESPACE if self.are_all() => write!(to, "every namespace")?,
            namespace => write!(to, "namespace {namespace}")?,
        }
        for (name, value) in &self.labels {
            write!(to, ", {name}={}", value.trim_matches('"'))?;
        }
        for target in &self.targets {
            write!(to, ", {target}")?;
        }
        Ok(())
    }
}
