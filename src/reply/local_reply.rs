//! The response in place of the upstream's.

/// The response in place of the upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply {
    /// The HTTP status.
    pub status: u16,
    /// `%RESPONSE_CODE_DETAILS%`: `jwt_<reason>`.
    pub details: String,
    /// Header fields beside those that the host adds.
    pub headers: Vec<(&'static str, String)>,
    /// The body; may be empty.
    pub body: Vec<u8>,
    /// The message for a gRPC client; may be empty.
    pub message: &'static str,
    /// The status for a gRPC client, in place of the HTTP status.
    pub grpc_status: Option<i32>,
}

impl LocalReply {
    /// There is no configuration, so no request passes.
    #[must_use]
    pub fn not_configured() -> Self {
        Self {
            status: 503,
            details: "jwt_not_configured".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            message: "",
            grpc_status: None,
        }
    }

    /// The filter itself is at fault ([RFC 9110 section
    /// 15.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-15.6.1)).
    #[must_use]
    pub fn fault(details: &str) -> Self {
        Self {
            status: 500,
            details: details.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            message: "",
            grpc_status: Some(13),
        }
    }

    /// The same for a gRPC client: the host writes `grpc-status`, and the body into `grpc-message`. The
    /// content type must stay gRPC's.
    #[must_use]
    pub fn for_grpc(&self) -> Self {
        let mut reply = self.clone();
        reply.headers.retain(|(name, _)| *name != "content-type");
        reply.body = self.message.into();
        reply
    }
}
