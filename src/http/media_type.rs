//! Media types.

/// The media type of a gRPC request ("PROTOCOL-HTTP2" of gRPC: `application/grpc`, and with `+proto` and so
/// on after it), and of nothing else, such as gRPC-Web's, whose clients read HTTP.
#[must_use]
pub fn is_grpc(media_type: &[u8]) -> bool {
    media_type
        .strip_prefix(b"application/grpc")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+"))
}
