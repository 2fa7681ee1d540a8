//! Where keys come from, and how they are kept.

use std::time::Duration;

use crate::config::field::{
    Flag, Form, MapOfNameOrNested, Name, NameOrNested, Nested, Or, Refused, Share, Span, Text, Whole, object,
};

object! {
    /// `providers.<name>.discovery`.
    DiscoveryObject at "providers.<name>.discovery" {
        /// the cluster of Envoy that leads to the issuer
        cluster: NameOrNested<ClusterObject> = NameOrNested::NEW, required "write the name of the Envoy cluster that leads to the issuer", values "not empty";
        /// the `issuer` of the document, compared exactly, if it is [not the `iss` of the
        /// tokens](keys.md#where-keys-come-from); by default the provider's `issuer`
        issuer: Name = Name;
        /// the URL of the document, if it is not `<issuer>/.well-known/openid-configuration` or, where that
        /// answers 404, [the address of RFC 8414](keys.md#where-keys-come-from)
        uri: Form = Form, values "an `http` or `https` URL, without variables";
        /// the timeout of a request for the document or for the keys
        timeout: Or<Span> = Or(Span(Duration::from_millis(1), Duration::from_secs(60)), Duration::from_secs(5));
        /// how long keys are fresh if the response has no `cache-control: max-age`
        cache_duration: Or<Span> = Or(Span(Duration::from_secs(1), Duration::from_secs(365 * 86400)), Duration::from_secs(600));
        /// clusters for a `jwks_uri` on another host, by host or by host and port
        clusters: MapOfNameOrNested<ClusterObject> = MapOfNameOrNested::NEW, default "{}";
    }
}

object! {
    /// `cluster` of an extension backend.
    ClusterObject at "providers.<name>.discovery.cluster" {
        /// the name of the [extension backend](keys.md#extension-backends-of-envoy-gateway) in
        /// `spec.backends` of the `EnvoyExtensionPolicy`
        backend: Name = Name, required "write the name of a backend in `spec.backends` of the EnvoyExtensionPolicy";
    }
}

object! {
    /// `providers.<name>.remote_jwks`.
    RemoteJwksObject at "providers.<name>.remote_jwks" {
        /// the URL of the JWKS document
        http_uri: Nested<HttpUriObject> = Nested::NEW, required "write the address of the JWKS document";
        /// how long keys are fresh if the response has no `cache-control: max-age`
        cache_duration: Or<Span> = Or(Span(Duration::from_secs(1), Duration::from_secs(365 * 86400)), Duration::from_secs(600));
        /// accepted for compatibility with jwt_authn, no effect: the filter always fetches keys ahead of
        /// requests
        async_fetch: Nested<AsyncFetchObject> = Nested::NEW;
        /// accepted for compatibility with jwt_authn, no effect: the filter always retries a failed fetch
        retry_policy: Nested<RetryPolicyObject> = Nested::NEW;
    }
}

object! {
    /// `providers.<name>.remote_jwks.http_uri`.
    HttpUriObject at "providers.<name>.remote_jwks.http_uri" {
        /// scheme, host and path of the request; the cluster decides where it goes
        uri: Form = Form, required "write the URL of the JWKS document", values "an `http` or `https` URL, without variables";
        /// the cluster of Envoy that leads to the issuer
        cluster: NameOrNested<ClusterObject> = NameOrNested::NEW, required "write the name of the Envoy cluster that leads to the issuer", values "not empty";
        /// the timeout of a fetch
        timeout: Or<Span> = Or(Span(Duration::from_millis(1), Duration::from_secs(60)), Duration::from_secs(5));
    }
}

object! {
    /// `providers.<name>.remote_jwks.async_fetch`.
    AsyncFetchObject at "providers.<name>.remote_jwks.async_fetch" {
        /// no effect
        fast_listener: Flag = Flag;
        /// no effect
        failed_refetch_duration: Span = Span(Duration::ZERO, Duration::from_secs(86400));
    }
}

object! {
    /// `providers.<name>.remote_jwks.retry_policy`.
    RetryPolicyObject at "providers.<name>.remote_jwks.retry_policy" {
        /// no effect
        num_retries: Whole = Whole(0, 4_294_967_295);
        /// no effect
        retry_on: Text = Text;
        /// no effect
        retry_back_off: Nested<RetryBackOffObject> = Nested::NEW;
    }
}

object! {
    /// `providers.<name>.remote_jwks.retry_policy.retry_back_off`.
    RetryBackOffObject at "providers.<name>.remote_jwks.retry_policy.retry_back_off" {
        /// no effect
        base_interval: Span = Span(Duration::from_millis(1), Duration::from_secs(86400));
        /// no effect
        max_interval: Span = Span(Duration::from_millis(1), Duration::from_secs(86400));
    }
}

object! {
    /// `providers.<name>.local_jwks`.
    LocalJwksObject at "providers.<name>.local_jwks" {
        /// the filter skips members that it cannot use; at least one must be usable
        inline_string: Text = Text, required "write the JWKS document, as a string", values "a JWKS document";
        /// the same in base64
        inline_bytes: Text = Text, values "base64 of a JWKS document";
        filename: Refused = Refused;
        environment_variable: Refused = Refused;
        watched_directory: Refused = Refused;
    }
    relations [
        some([present(Self::inline_string.name), present(Self::inline_bytes.name)]),
    ]
}

object! {
    /// `providers.<name>.key_cache`.
    KeyCacheObject at "providers.<name>.key_cache" {
        /// the fraction of the keys' lifetime after which the filter refreshes them
        refresh_ahead: Or<Share> = Or(Share(1, 10), 0.8);
        /// how long the filter uses keys after their lifetime while the issuer fails
        stale_if_error: Or<Span> = Or(Span(Duration::ZERO, Duration::from_secs(30 * 86400)), Duration::from_secs(24 * 3600));
        /// in two of these periods, unknown `kid`s may cause at most [six fetches](keys.md#unknown-key-ids)
        unknown_kid_cooldown: Or<Span> = Or(Span(Duration::from_secs(1), Duration::from_secs(86400)), Duration::from_secs(30));
        /// the filter refuses a longer document
        max_response_bytes: Or<Whole> = Or(Whole(256, 4_194_304), 262_144);
    }
}
