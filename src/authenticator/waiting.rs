//! Requests that wait for keys, in the order of their arrival.

use std::collections::BTreeMap;
use std::collections::HashMap;

use super::StreamId;
use crate::request::RequestHead;
use crate::time::UnixTime;

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) request: RequestHead,
    pub(super) since: UnixTime,
    pub(super) deadline: UnixTime,
}

/// All of them. A client that leaves is found by its number, so that leaving costs nothing however many wait.
#[derive(Debug, Default)]
pub(super) struct WaitingRequests {
    by_arrival: BTreeMap<u64, (StreamId, Waiting)>,
    arrivals: HashMap<StreamId, u64>,
    next_arrival: u64,
}

impl WaitingRequests {
    pub(super) fn len(&self) -> usize {
        self.by_arrival.len()
    }

    pub(super) fn insert(&mut self, id: StreamId, waiting: Waiting) {
        self.remove(id);
        self.by_arrival.insert(self.next_arrival, (id, waiting));
        self.arrivals.insert(id, self.next_arrival);
        self.next_arrival = self.next_arrival.wrapping_add(1);
    }

    pub(super) fn remove(&mut self, id: StreamId) {
        if let Some(arrival) = self.arrivals.remove(&id) {
            self.by_arrival.remove(&arrival);
        }
    }

    /// Takes them all, in order.
    pub(super) fn take_all(&mut self) -> Vec<(StreamId, Waiting)> {
        self.arrivals.clear();
        std::mem::take(&mut self.by_arrival).into_values().collect()
    }

    /// Takes those whose deadline has come.
    pub(super) fn take_overdue(&mut self, now: UnixTime) -> Vec<(StreamId, Waiting)> {
        if self.next_deadline().is_none_or(|deadline| deadline > now) {
            return Vec::new();
        }
        let (overdue, rest): (Vec<_>, Vec<_>) = self
            .take_all()
            .into_iter()
            .partition(|(_, waiting)| waiting.deadline <= now);
        for (id, waiting) in rest {
            self.insert(id, waiting);
        }
        overdue
    }

    pub(super) fn next_deadline(&self) -> Option<UnixTime> {
        self.by_arrival
            .values()
            .map(|(_, waiting)| waiting.deadline)
            .min()
    }
}
