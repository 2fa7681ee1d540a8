//! Requests that wait for keys, in the order of their arrival, and their places.
//!
//! The number of places is limited, and anyone can send requests that wait. If none is free, the client with
//! the most places gives up its newest one to a client with fewer.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher as _;

use super::event::StreamId;
use crate::request::RequestHead;
use crate::time::UnixTime;

/// A request takes one place for each block of this size that the engine keeps of it.
const BYTES_PER_PLACE: usize = 8192;

/// The origin of a request, for the distribution of places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Peer(u64);

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) request: RequestHead,
    pub(super) since: UnixTime,
    pub(super) deadline: UnixTime,
    pub(super) peer: Peer,
    /// The number of places that it takes.
    pub(super) places: usize,
}

impl Waiting {
    /// False if its wait was ended: see [`WaitingRequests::end`].
    pub(super) fn may_stay(&self) -> bool {
        self.deadline != UnixTime::default()
    }
}

/// Whether a request gets a place.
#[derive(Debug)]
pub(super) enum Room {
    Free,
    /// Yes, in place of this request.
    Instead(StreamId, Box<Waiting>),
    /// No client with a place has more places than the new one.
    Taken,
}

/// The arrival of each request, and the places of each origin. They have one type, because the code of a map
/// takes 1 KB of the module.
type Numbers = HashMap<u64, u64>;

/// All waiting requests. The map of arrivals finds the request of a client that disconnects. The cost does
/// not depend on the number of waiting requests.
#[derive(Debug, Default)]
pub(super) struct WaitingRequests {
    by_arrival: BTreeMap<u64, (StreamId, Waiting)>,
    arrivals: Numbers,
    next_arrival: u64,
    taken: usize,
    by_peer: Numbers,
    hasher: RandomState,
    /// The engine has to evaluate the requests that arrived in this range again.
    look_from: u64,
    look_until: u64,
}

impl WaitingRequests {
    pub(super) fn len(&self) -> usize {
        self.by_arrival.len()
    }

    /// The origin of a request with this address and port. All ports of an address are one origin, and so are
    /// all addresses of an IPv6 site.
    pub(super) fn peer(&self, address: Option<&[u8]>) -> Peer {
        let address = address.unwrap_or_default();
        // `[2001:db8::1]:443`, or `192.0.2.1:443`.
        let Some(end) = address.iter().rposition(|byte| *byte == b':') else {
            return Peer(self.hasher.hash_one(address));
        };
        let host = address.get(..end).unwrap_or_default();
        let site = host
            .strip_prefix(b"[")
            .and_then(|host| site(host.strip_suffix(b"]")?));
        Peer(match site {
            Some(site) => self.hasher.hash_one(site),
            None => self.hasher.hash_one(host),
        })
    }

    /// The number of places that the request takes, of `limit`.
    pub(super) fn places(request: &RequestHead, limit: usize) -> usize {
        (request.bytes() / BYTES_PER_PLACE)
            .saturating_add(1)
            .min(limit.max(1))
    }

    /// Looks for `places` free places. There are `limit` places in all.
    pub(super) fn room_for(&mut self, peer: Peer, places: usize, limit: usize) -> Room {
        if self.taken.saturating_add(places) <= limit {
            return Room::Free;
        }
        let own = self.by_peer.get(&peer.0).copied().unwrap_or_default();
        let most = self.by_peer.iter().max_by_key(|(_, held)| **held);
        let Some((heaviest, _)) = most.filter(|(_, held)| **held > own.saturating_add(places as u64)) else {
            return Room::Taken;
        };
        let heaviest = Peer(*heaviest);
        let mut newest_first = self.by_arrival.values().rev();
        let newest = newest_first
            .find(|(_, waiting)| waiting.peer == heaviest)
            .map(|(id, _)| *id);
        match newest.and_then(|id| Some((id, self.remove(id)?))) {
            Some((id, waiting)) => Room::Instead(id, Box::new(waiting)),
            None => Room::Taken,
        }
    }

    pub(super) fn insert(&mut self, id: StreamId, waiting: Waiting) {
        self.remove(id);
        self.put(self.next_arrival, id, waiting);
        self.next_arrival = self.next_arrival.wrapping_add(1);
    }

    fn put(&mut self, arrival: u64, id: StreamId, waiting: Waiting) {
        self.taken = self.taken.saturating_add(waiting.places);
        let peer = waiting.peer.0;
        let held = self.by_peer.get(&peer).copied().unwrap_or_default();
        self.by_peer
            .insert(peer, held.saturating_add(waiting.places as u64));
        self.by_arrival.insert(arrival, (id, waiting));
        self.arrivals.insert(id.0.into(), arrival);
    }

    pub(super) fn remove(&mut self, id: StreamId) -> Option<Waiting> {
        let arrival = self.arrivals.remove(&id.0.into())?;
        let (_, waiting) = self.by_arrival.remove(&arrival)?;
        self.taken = self.taken.saturating_sub(waiting.places);
        let peer = waiting.peer.0;
        let held = self.by_peer.remove(&peer).unwrap_or_default();
        let held = held.saturating_sub(waiting.places as u64);
        if held != 0 {
            self.by_peer.insert(peer, held);
        }
        if self.by_arrival.is_empty() {
            // A table whose entries were removed one by one grows when it is filled again.
            drop(std::mem::take(&mut self.arrivals));
        }
        Some(waiting)
    }

    /// The engine has to evaluate every waiting request again.
    pub(super) fn look_again(&mut self) {
        self.look_from = 0;
        self.look_until = self.next_arrival;
    }

    /// Ends the wait of every request.
    pub(super) fn end(&mut self) {
        for (_, waiting) in self.by_arrival.values_mut() {
            waiting.deadline = UnixTime::default();
        }
    }

    /// The next request to evaluate: its deadline is over, or keys have arrived.
    fn due(&self, now: UnixTime) -> Option<(u64, StreamId)> {
        let again = || {
            let range = self.look_from..self.look_until.max(self.look_from);
            self.by_arrival.range(range).next()
        };
        let overdue = || {
            let mut all = self.by_arrival.iter();
            all.find(|(_, (_, waiting))| waiting.deadline <= now)
        };
        let (arrival, (id, _)) = again().or_else(overdue)?;
        Some((*arrival, *id))
    }

    pub(super) fn is_due(&self, now: UnixTime) -> bool {
        self.due(now).is_some()
    }

    /// Removes the next request that is due, and returns it with its place in the order.
    pub(super) fn take_due(&mut self, now: UnixTime) -> Option<(u64, StreamId, Waiting)> {
        let (arrival, id) = self.due(now)?;
        self.look_from = self.look_from.max(arrival.saturating_add(1));
        Some((arrival, id, self.remove(id)?))
    }

    /// Puts the request back at its place in the order.
    pub(super) fn put_back(&mut self, arrival: u64, id: StreamId, waiting: Waiting) {
        self.put(arrival, id, waiting);
    }

    pub(super) fn next_deadline(&self) -> Option<UnixTime> {
        self.by_arrival
            .values()
            .map(|(_, waiting)| waiting.deadline)
            .min()
    }
}

/// The first 64 bits of an IPv6 address: a site gets at least as many addresses (RFC 6177 section 2). The
/// standard library's parser would add several KB to the module.
fn site(address: &[u8]) -> Option<[u16; 4]> {
    let text = std::str::from_utf8(address).ok()?;
    // `::ffff:192.0.2.1`: otherwise all clients with IPv4 addresses would be one site.
    if text.contains('.') {
        return None;
    }
    let (head, tail) = text.split_once("::").unwrap_or((text, ""));
    let mut groups = [0; 4];
    let mut given = head.split(':').filter(|group| !group.is_empty());
    let mut count = 0_usize;
    for group in &mut groups {
        let Some(digits) = given.next() else { break };
        *group = u16::from_str_radix(digits, 16).ok()?;
        count = count.saturating_add(1);
    }
    // After `::`, the groups count from the end.
    let behind = tail.split(':').filter(|group| !group.is_empty()).count();
    let first_behind = 8_usize.checked_sub(behind)?;
    if head.len() < text.len() && first_behind < groups.len() {
        for (group, digits) in groups
            .iter_mut()
            .skip(first_behind.max(count))
            .zip(tail.split(':'))
        {
            *group = u16::from_str_radix(digits, 16).ok()?;
        }
    }
    Some(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(peer: Peer) -> Waiting {
        Waiting {
            request: RequestHead::new(),
            since: UnixTime::default(),
            deadline: UnixTime::NEVER,
            peer,
            places: 1,
        }
    }

    #[test]
    fn addresses_differ_without_their_ports_and_not_within_a_site() {
        let all = WaitingRequests::default();
        let peer = |address: &str| all.peer(Some(address.as_bytes()));
        assert_eq!(peer("127.0.0.1:1"), peer("127.0.0.1:2"));
        assert_ne!(peer("127.0.0.1:1"), peer("127.0.0.2:1"));
        assert_eq!(peer("[2001:db8:1:2::3]:4"), peer("[2001:db8:1:2:ffff::]:5"));
        assert_ne!(peer("[2001:db8:1:2::3]:4"), peer("[2001:db8:1:3::3]:4"));
        for (address, expected) in [
            ("::1", [0; 4]),
            ("::2:3:4:5:6:7:8", [0, 2, 3, 4]),
            ("1::6:7:8", [1, 0, 0, 0]),
            ("1:2:3:4:5:6:7:8", [1, 2, 3, 4]),
            ("1:2:3::", [1, 2, 3, 0]),
            ("fe80::1:2:3:4:5:6", [0xfe80, 0, 1, 2]),
        ] {
            assert_eq!(site(address.as_bytes()), Some(expected), "{address}");
        }
        assert_ne!(peer("[::ffff:192.0.2.1]:4"), peer("[::ffff:192.0.2.2]:4"));
        assert_eq!(peer("[::ffff:192.0.2.1]:4"), peer("[::ffff:192.0.2.1]:5"));
        assert_eq!(site(b"::x:2:3:4:5:6:7"), None);
        assert_eq!(site(b"::1:2:3:4:5:6:7:8:9"), None);
        assert_eq!(peer("internal"), peer("internal"));
        assert_eq!(all.peer(None), peer(""));
    }

    #[test]
    fn whoever_holds_most_gives_way_with_its_newest() {
        let mut all = WaitingRequests::default();
        let peers = [1, 2, 3].map(Peer);
        for number in 0..12 {
            assert!(matches!(all.room_for(peers[0], 1, 12), Room::Free));
            all.insert(StreamId(number), waiting(peers[0]));
        }
        assert!(matches!(all.room_for(peers[0], 1, 12), Room::Taken));
        let mut next = 100;
        for (peer, expected) in [(peers[1], 6), (peers[2], 4)] {
            let mut gained = 0;
            while let Room::Instead(id, gone) = all.room_for(peer, 1, 12) {
                assert!(id.0 > 0 && gone.peer != peer, "the oldest stays");
                next += 1;
                all.insert(StreamId(next), waiting(peer));
                gained += 1;
            }
            assert!((expected - 1..=expected).contains(&gained), "{gained}");
        }
        assert_eq!((all.len(), all.taken), (12, 12));
        assert!(
            all.by_peer.values().all(|held| (3..=5).contains(held)),
            "{:?}",
            all.by_peer
        );
    }

    #[test]
    fn a_large_head_takes_several_places() {
        let mut head = RequestHead::new();
        assert_eq!(WaitingRequests::places(&head, 1024), 1);
        head.filter_state = Some(vec![0; 60_000]);
        assert_eq!(WaitingRequests::places(&head, 1024), 8);
        assert_eq!(WaitingRequests::places(&head, 4), 4);
    }
}
