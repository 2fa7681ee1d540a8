//! Replies in the form of the host's interface.

use super::abi;
use super::held::Progress;
use crate::reply::{LocalReply, Replies};

/// The protocol of the client, which determines the form of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    OfHttp,
    OfGrpc,
    /// Only the host knows.
    Unknown,
}

/// The header fields of the replies that are the same for every request, in the host's form.
pub(super) struct WrittenFields(Vec<(usize, Vec<u8>)>);

impl WrittenFields {
    /// Writes the fields of the configuration's replies. The replies live as long as this value: the address
    /// of a reply identifies it.
    pub(super) fn new(replies: &Replies) -> Self {
        Self(
            replies
                .fixed()
                .map(|reply| (std::ptr::from_ref(reply).addr(), abi::written_fields(reply)))
                .collect(),
        )
    }

    /// The fields of a reply, if it is one of these.
    pub(super) fn of(&self, reply: &LocalReply) -> Option<&[u8]> {
        let address = std::ptr::from_ref(reply).addr();
        let (_, fields) = self.0.iter().find(|(known, _)| *known == address)?;
        Some(fields)
    }
}

/// Sends a reply in place of the upstream's.
pub(super) fn send(reply: &LocalReply) -> Progress {
    send_with(reply, &abi::written_fields(reply))
}

/// Sends a reply with these fields in place of the upstream's.
pub(super) fn send_with(reply: &LocalReply, fields: &[u8]) -> Progress {
    if let Err(status) = abi::send_local_response(reply, fields) {
        // The request stays held, so it does not pass.
        log::error!("the reply cannot be sent: {status:?}");
    }
    Progress::Answered
}
