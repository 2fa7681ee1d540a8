//! Sends replies to the client, in the client's protocol.

use std::borrow::Cow;

use super::super::abi::{self, Map};
use super::super::held::Progress;
use super::super::written::{Client, send, send_with};
use super::Filter;
use crate::http::is_grpc;
use crate::reply::Refusal;
use crate::request::RequestHead;

impl Filter {
    /// The protocol of the client, if the head shows it.
    pub(in crate::host) fn client_of(&self, request: &RequestHead) -> Client {
        match request.is_grpc {
            // The filter has read only the fields that the configuration names.
            _ if self.reads_by_name => Client::Unknown,
            Some(true) => Client::OfGrpc,
            Some(false) | None => Client::OfHttp,
        }
    }

    /// Answers a request that is refused.
    pub(super) fn send_refusal(&self, refusal: &Refusal, client: Client) -> Progress {
        let reply = self.config.replies.to(refusal);
        let is_grpc = match client {
            Client::OfHttp => false,
            Client::OfGrpc => true,
            // Read only now: an allowed request does not pay for it.
            Client::Unknown => {
                let media_type = abi::header(Map::RequestHeaders, "content-type");
                matches!(media_type, Ok(Some(media_type)) if is_grpc(&media_type))
            }
        };
        if is_grpc {
            return send(&reply.for_grpc());
        }
        let fixed = match &reply {
            Cow::Borrowed(reply) => self.written.of(reply),
            Cow::Owned(_) => None,
        };
        match fixed {
            Some(fields) => send_with(&reply, fields),
            None => send(&reply),
        }
    }
}
