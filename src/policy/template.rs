//! `path_template`: a path with a named segment, such as `/tenants/{tenant}/**`.

use crate::http::percent::{self, Plus};

/// A template with the place of its variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    segments: Vec<Segment>,
    /// Further segments may follow.
    is_open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<[u8]>),
    /// `*`: any segment.
    Any,
    /// The variable.
    Variable,
}

impl PathTemplate {
    /// Parses a template: `/`, then segments that are literal, `*`, or `{name}`; `**` may be last.
    ///
    /// `None` if it is not such a template, or does not contain the variable exactly once.
    #[must_use]
    pub fn parse(template: &str, variable: &str) -> Option<Self> {
        let mut segments = Vec::new();
        let mut is_open = false;
        let mut found = 0_u8;
        for segment in template.strip_prefix('/')?.split('/') {
            if is_open {
                return None;
            }
            let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            match (segment, name) {
                ("**", _) => is_open = true,
                ("*", _) => segments.push(Segment::Any),
                (_, Some(name)) if name == variable => {
                    found = found.saturating_add(1);
                    segments.push(Segment::Variable);
                }
                (_, Some(name)) if !name.is_empty() => segments.push(Segment::Any),
                _ if segment.contains(['{', '}', '*', '?', '#']) => return None,
                _ => segments.push(Segment::Literal(segment.as_bytes().into())),
            }
        }
        (found == 1).then_some(Self { segments, is_open })
    }

    /// The decoded segment of the variable in a path; `None` if the path does not match, the segment is
    /// empty, or it contains a broken escape.
    #[must_use]
    pub fn variable(&self, path: &[u8]) -> Option<Vec<u8>> {
        let mut parts = path.strip_prefix(b"/")?.split(|byte| *byte == b'/');
        let mut value = None;
        for segment in &self.segments {
            let part = parts.next()?;
            match segment {
                Segment::Literal(literal) if part != &**literal => return None,
                Segment::Literal(_) | Segment::Any => {}
                Segment::Variable => value = Some(part),
            }
        }
        if parts.next().is_some() && !self.is_open {
            return None;
        }
        let decoded = percent::decode(value?, Plus::Plus).ok()?;
        (!decoded.is_empty()).then(|| decoded.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(template: &str, path: &str) -> Option<String> {
        let template = PathTemplate::parse(template, "tenant").unwrap();
        template
            .variable(path.as_bytes())
            .map(|value| String::from_utf8(value).unwrap())
    }

    #[test]
    fn the_variable_is_one_segment() {
        assert_eq!(
            tenant("/tenants/{tenant}/**", "/tenants/blue/orders/1").as_deref(),
            Some("blue")
        );
        assert_eq!(
            tenant("/tenants/{tenant}/**", "/tenants/blue").as_deref(),
            Some("blue")
        );
        assert_eq!(tenant("/tenants/{tenant}", "/tenants/blue/orders"), None);
        assert_eq!(tenant("/*/{tenant}", "/v1/bl%75e").as_deref(), Some("blue"));
        assert_eq!(tenant("/tenants/{tenant}/**", "/tenants//orders"), None);
        assert_eq!(tenant("/tenants/{tenant}/**", "/other/blue"), None);
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for template in [
            "tenants/{tenant}",
            "/{other}",
            "/{tenant}/{tenant}",
            "/**/{tenant}",
            "/a{tenant}",
            "/{tenant",
            "/",
        ] {
            assert_eq!(PathTemplate::parse(template, "tenant"), None, "{template}");
        }
    }
}
