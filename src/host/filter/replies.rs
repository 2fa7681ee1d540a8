//! Replies on their way to the client, in the protocol that it speaks.

use std::borrow::Cow;

use super::super::abi::{self, Map};
use super::super::held::Progress;
use super::Filter;
use crate::http::is_grpc;
use crate::reply::{LocalReply, Refusal, Replies};
use crate::request::RequestHead;

/// The protocol of the client, which determines the form of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) enum Client {
    OfHttp,
    OfGrpc,
    /// Only the host knows.
    Unknown,
}

/// The header fields of the replies that are the same for every request, in the host's form.
pub(super) struct WrittenFields(Vec<(usize, Vec<u8>)>);

impl WrittenFields {
    /// Writes those of the configuration's replies. These live as long as this does, so that the address of each
    /// tells which it is.
    pub(super) fn new(replies: &Replies) -> Self {
        Self(
            replies
                .fixed()
                .map(|reply| (std::ptr::from_ref(reply).addr(), abi::written_fields(reply)))
                .collect(),
        )
    }

    fn of(&self, reply: &LocalReply) -> Option<&[u8]> {
        let address = std::ptr::from_ref(reply).addr();
        let (_, fields) = self.0.iter().find(|(known, _)| *known == address)?;
        Some(fields)
    }
}

impl Filter {
    /// The protocol of the client, as far as the head shows it.
    pub(in crate::host) fn client_of(&self, request: &RequestHead) -> Client {
        match request.is_grpc {
            // Nothing was read but what the configuration names.
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

pub(super) fn send(reply: &LocalReply) -> Progress {
    send_with(reply, &abi::written_fields(reply))
}

fn send_with(reply: &LocalReply, fields: &[u8]) -> Progress {
    if let Err(status) = abi::send_local_response(reply, fields) {
        // The request stays held, so it does not pass.
        log::error!("the reply cannot be sent: {status:?}");
    }
    Progress::Answered
}
