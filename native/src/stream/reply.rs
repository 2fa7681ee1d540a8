//! The module's own answers to a client.

use proxy_wasm_jwt::http::is_grpc;
use proxy_wasm_jwt::reply::LocalReply;

use crate::binding::{Host, Map};

/// Answers in place of the upstream.
pub(super) fn send(host: &mut Host<'_>, reply: &LocalReply) {
    send_to(host, reply, None);
}

/// The same for a gRPC client, for another client, or for a client whose protocol is not known yet.
pub(super) fn send_to(host: &mut Host<'_>, reply: &LocalReply, client_is_grpc: Option<bool>) {
    let client_is_grpc = client_is_grpc.unwrap_or_else(|| {
        let media_type = host.header(Map::RequestHeaders, b"content-type", 0);
        media_type.is_some_and(|(media_type, _)| is_grpc(&media_type))
    });
    let of_grpc;
    let (reply, status) = match client_is_grpc {
        true => {
            of_grpc = reply.for_grpc();
            // Without `grpc-status`, Envoy would report OK for every status. Only clients of gRPC know the
            // field.
            (&of_grpc, Some(of_grpc.grpc_status.unwrap_or(2).to_string()))
        }
        false => (reply, None),
    };
    let fields = reply.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let status = status.iter().map(|status| ("grpc-status", status.as_str()));
    host.send_response(reply.status, fields.chain(status), &reply.body, &reply.details);
}
