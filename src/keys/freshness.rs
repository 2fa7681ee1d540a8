//! The times that an issuer's response prescribes: the lifetime of a document
//! ([RFC 9111 section 5.2.2](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2), as far as a private copy
//! of public keys needs it), and the pause after a failure
//! ([RFC 9110 section 10.2.3](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)).

use std::time::Duration;

/// The shortest lifetime: an issuer cannot make the filter fetch more often.
const SHORTEST: Duration = Duration::from_secs(60);
/// The longest lifetime: an issuer cannot keep the filter from noticing a rotation.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The lifetime in `cache-control`, within bounds; `otherwise` if there is none. The configured lifetime also
/// replaces `no-store` and `no-cache`: to follow these literally would mean one fetch for each request.
pub(super) fn lifetime(cache_control: Option<&[u8]>, otherwise: Duration) -> Duration {
    let Some(text) = cache_control.and_then(|bytes| std::str::from_utf8(bytes).ok()) else {
        return otherwise;
    };
    let mut max_age = None;
    let mut shared_max_age = None;
    for directive in text.split(',') {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let seconds = || {
            value
                .trim()
                .trim_matches('"')
                .parse::<u64>()
                .ok()
                .map(Duration::from_secs)
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "max-age" => max_age = seconds(),
            "s-maxage" => shared_max_age = seconds(),
            "no-store" | "no-cache" => return otherwise,
            _ => {}
        }
    }
    shared_max_age
        .or(max_age)
        .map_or(otherwise, |age| age.clamp(SHORTEST, LONGEST))
}

/// The pause in `retry-after`, in seconds. A date is treated as absent: it is for clients with the issuer's
/// clock.
pub(super) fn pause_asked_for(retry_after: Option<&[u8]>) -> Duration {
    let text = retry_after.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let seconds = text.and_then(|text| text.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_asked_for_in_seconds() {
        for (retry_after, seconds) in [
            ("120", 120),
            (" 7 ", 7),
            ("0", 0),
            ("-1", 0),
            ("1.5", 0),
            ("99999999999999999999999", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
        ] {
            let pause = pause_asked_for(Some(retry_after.as_bytes()));
            assert_eq!(pause.as_secs(), seconds, "{retry_after}");
        }
        assert_eq!(pause_asked_for(None), Duration::ZERO);
    }

    #[test]
    fn the_answer_decides_within_bounds() {
        let otherwise = Duration::from_secs(600);
        for (cache_control, seconds) in [
            ("max-age=3600", 3600),
            ("public, Max-Age=\"300\", must-revalidate", 300),
            ("max-age=300, s-maxage=120", 120),
            ("max-age=1", 60),
            ("max-age=99999999", 86400),
            ("max-age=99999999999999999999999", 600),
            ("no-store, max-age=300", 600),
            ("max-age=-1", 600),
            ("", 600),
        ] {
            assert_eq!(
                lifetime(Some(cache_control.as_bytes()), otherwise).as_secs(),
                seconds,
                "{cache_control}"
            );
        }
        assert_eq!(lifetime(Some(b"max-age=\xff"), otherwise), otherwise);
        assert_eq!(lifetime(None, otherwise), otherwise);
    }
}
