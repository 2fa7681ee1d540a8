//! A cache of tokens with the results of their checks, bounded by entries and by bytes.
//!
//! It finds a token by a seeded hash, and compares it byte by byte. In a full cache, a token that comes only
//! once displaces nothing: a new token has to come twice. The clock's hand then spares entries that were used
//! since its last pass. The owner of the cache checks at each hit whether an entry is still valid, and keeps
//! several caches if some entries must not displace others.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

use crate::bytes::is_same;
use crate::ids::LocationId;

/// The average room of an entry.
const BYTES_PER_ENTRY: usize = 4096;
/// The approximate room of an entry beside its token and its value, tables and allocator included.
const OVERHEAD: usize = 320;

/// The context of a check: the owner's number for the demand, and the token's location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Context {
    pub(crate) demand: usize,
    pub(crate) location: LocationId,
}

/// The key of an entry.
#[derive(Clone, Copy)]
pub(crate) struct Key<'t> {
    hash: u64,
    context: Context,
    token: &'t [u8],
}

struct Entry<T> {
    hash: u64,
    context: Context,
    token: Box<[u8]>,
    value: T,
    bytes: usize,
    /// Used since the last pass of the hand.
    is_wanted: bool,
}

/// See the module.
pub(crate) struct TokenCache<T> {
    seed: RandomState,
    /// The positions of entries by their hashes. Two tokens with the same hash displace each other.
    places: HashTable<usize>,
    entries: Vec<Option<Entry<T>>>,
    /// Tokens that had no room, as a part of their hash. Another part of the hash determines the position in
    /// this table.
    newcomers: Box<[[u32; 4]]>,
    /// Selects the new token that displaces an entry, at random: in a fixed order, tokens that come in the
    /// same order would displace each other forever.
    chance: u64,
    /// The next entry that the hand visits.
    hand: usize,
    bytes: usize,
    max_entries: usize,
}

impl<T> TokenCache<T> {
    /// A cache with this many entries; 0: no cache.
    pub(crate) fn new(max_entries: usize) -> Self {
        Self::seeded(max_entries, RandomState::new())
    }

    /// An empty cache of the same size, with the same keys.
    pub(crate) fn sibling(&self) -> Self {
        Self::seeded(self.max_entries, self.seed.clone())
    }

    fn seeded(max_entries: usize, seed: RandomState) -> Self {
        Self {
            seed,
            places: HashTable::new(),
            entries: Vec::new(),
            newcomers: Box::default(),
            chance: 0,
            hand: 0,
            bytes: 0,
            max_entries,
        }
    }

    pub(crate) fn is_off(&self) -> bool {
        self.max_entries == 0
    }

    /// The key of this token in this context. It contains the last 16 bytes of the token, 96 bits of the
    /// signature: tokens differ there.
    pub(crate) fn key<'t>(&self, context: Context, token: &'t [u8]) -> Key<'t> {
        // A shorter text is not a token.
        let end = token.last_chunk().copied().map_or(0, u128::from_ne_bytes);
        Key {
            hash: self.seed.hash_one((context, end)),
            context,
            token,
        }
    }

    /// The value for exactly this token in this context.
    pub(crate) fn get(&mut self, key: Key<'_>) -> Option<&T> {
        let place = self.place(key.hash)?;
        let entry = self.entries.get_mut(place)?.as_mut()?;
        if entry.context != key.context || !is_same(&entry.token, key.token) {
            return None;
        }
        entry.is_wanted = true;
        Some(&entry.value)
    }

    /// The position of the entry with this hash.
    fn place(&self, hash: u64) -> Option<usize> {
        let has_hash = |place: &usize| hash_at(&self.entries, *place) == Some(hash);
        self.places.find(hash, has_hash).copied()
    }

    /// Inserts a value, which takes `value_bytes`, and displaces entries if there is no room.
    pub(crate) fn insert(&mut self, key: Key<'_>, value: T, value_bytes: usize) {
        let Key { hash, context, token } = key;
        let bytes = token.len().saturating_add(value_bytes).saturating_add(OVERHEAD);
        let max_bytes = self.max_entries.saturating_mul(BYTES_PER_ENTRY);
        if bytes > max_bytes {
            return;
        }
        let own = self.place(hash);
        let has_room = self.entries.len() < self.max_entries && self.bytes.saturating_add(bytes) <= max_bytes;
        if own.is_none() && !has_room && !self.has_come_before(hash) {
            return;
        }
        if let Some(place) = own {
            self.vacate(place);
        }
        let own = own.filter(|_| self.bytes.saturating_add(bytes) <= max_bytes);
        let Some(place) = own.or_else(|| self.make_room(bytes, max_bytes)) else {
            return;
        };
        let entry = Entry {
            hash,
            context,
            token: token.into(),
            value,
            bytes,
            is_wanted: false,
        };
        if let Some(vacant) = self.entries.get_mut(place) {
            *vacant = Some(entry);
            let entries = &self.entries;
            self.places.insert_unique(hash, place, |place| {
                // Every occupied position has an entry.
                hash_at(entries, *place).unwrap_or_default()
            });
            self.bytes = self.bytes.saturating_add(bytes);
        }
    }

    /// Whether a token with this hash had no room recently.
    fn has_come_before(&mut self, hash: u64) -> bool {
        if self.newcomers.is_empty() {
            self.newcomers = vec![[0; 4]; self.max_entries.next_power_of_two()].into();
        }
        let [index, mark] = [hash, hash >> 32].map(|half| half as u32);
        let last = self.newcomers.len().saturating_sub(1);
        let Some(known) = self.newcomers.get_mut(index as usize & last) else {
            return false;
        };
        if known.contains(&mark) {
            return true;
        }
        // Knuth's linear congruential generator. Its highest bits are the best ones.
        self.chance = self
            .chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let [a, b, c, d] = known;
        *match self.chance >> 62 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        } = mark;
        false
    }

    /// A vacant position with room for this many bytes.
    fn make_room(&mut self, bytes: usize, max_bytes: usize) -> Option<usize> {
        if self.entries.len() < self.max_entries && self.bytes.saturating_add(bytes) <= max_bytes {
            self.entries.push(None);
            return self.entries.len().checked_sub(1);
        }
        let mut vacant = None;
        // The first round clears every mark, and the second drops every entry.
        for _ in 0..self.entries.len().saturating_mul(2).saturating_add(1) {
            if vacant.is_some() && self.bytes.saturating_add(bytes) <= max_bytes {
                return vacant;
            }
            let place = self.hand;
            self.hand = match place.saturating_add(1) {
                next if next < self.entries.len() => next,
                _ => 0,
            };
            match self.entries.get_mut(place)? {
                Some(entry) if entry.is_wanted => entry.is_wanted = false,
                Some(_) => {
                    self.vacate(place);
                    vacant = vacant.or(Some(place));
                }
                None => vacant = vacant.or(Some(place)),
            }
        }
        vacant
    }

    fn vacate(&mut self, place: usize) {
        let Some(entry) = self.entries.get_mut(place).and_then(Option::take) else {
            return;
        };
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        if let Ok(known) = self.places.find_entry(entry.hash, |known| *known == place) {
            known.remove();
        }
    }
}

/// The hash of the entry at this position.
fn hash_at<T>(entries: &[Option<Entry<T>>], place: usize) -> Option<u64> {
    Some(entries.get(place)?.as_ref()?.hash)
}

// A token is a credential: only the size is shown.
impl<T> fmt::Debug for TokenCache<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TokenCache")
            .field("entries", &self.places.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(demand: usize) -> Context {
        Context {
            demand,
            location: LocationId::default(),
        }
    }

    fn token(number: usize) -> Vec<u8> {
        format!("header.payload.{number:064}").into_bytes()
    }

    fn get<'c, T>(cache: &'c mut TokenCache<T>, context: Context, token: &[u8]) -> Option<&'c T> {
        cache.get(cache.key(context, token))
    }

    fn insert<T>(cache: &mut TokenCache<T>, context: Context, token: &[u8], value: T, size: usize) {
        let key = TokenCache::key(cache, context, token);
        cache.insert(key, value, size);
    }

    /// Inserts it twice, as a full cache requires.
    fn insert_twice(cache: &mut TokenCache<usize>, number: usize, size: usize) {
        for _ in 0..2 {
            insert(cache, context(0), &token(number), number, size);
        }
    }

    fn filled(count: usize) -> TokenCache<usize> {
        let mut cache = TokenCache::new(count);
        for number in 0..count {
            insert(&mut cache, context(0), &token(number), number, 0);
        }
        cache
    }

    #[test]
    fn only_the_very_same_token_in_the_same_context_is_found() {
        let mut cache = TokenCache::new(10);
        let mut token = token(1);
        insert(&mut cache, context(1), &token, "value", 0);
        assert_eq!(get(&mut cache, context(1), &token), Some(&"value"));
        assert_eq!(get(&mut cache, context(2), &token), None);
        // A difference before the hashed part counts too.
        for index in 0..token.len() {
            token[index] ^= 1;
            assert_eq!(get(&mut cache, context(1), &token), None, "{index}");
            token[index] ^= 1;
        }
        assert_eq!(get(&mut cache, context(1), &token[1..]), None);
        assert_eq!(get(&mut cache, context(1), b""), None);
    }

    #[test]
    fn a_token_that_comes_again_outlives_a_flood_of_others() {
        let mut cache = filled(100);
        for hot in 0..10 {
            assert!(get(&mut cache, context(0), &token(hot)).is_some());
        }
        for flood in 0..10_000 {
            insert_twice(&mut cache, 1000 + flood, 0);
            if flood % 20 == 0 {
                for hot in 0..10 {
                    assert!(
                        get(&mut cache, context(0), &token(hot)).is_some(),
                        "{flood} {hot}"
                    );
                }
            }
        }
        assert!(cache.places.len() == 100 && cache.entries.len() == 100);
    }

    #[test]
    fn a_token_that_comes_once_removes_no_other() {
        let mut cache = filled(100);
        for flood in 0..10_000 {
            insert(&mut cache, context(0), &token(1000 + flood), flood, 0);
        }
        assert!((0..100).all(|number| get(&mut cache, context(0), &token(number)).is_some()));
        insert_twice(&mut cache, 500, 0);
        assert_eq!(get(&mut cache, context(0), &token(500)), Some(&500));
    }

    #[test]
    fn whoever_comes_again_gets_in_however_many_do() {
        let mut cache = filled(1000);
        for _ in 0..20 {
            for number in 5000..5900 {
                if get(&mut cache, context(0), &token(number)).is_none() {
                    insert(&mut cache, context(0), &token(number), number, 0);
                }
            }
        }
        let known = (5000..5900).filter(|number| get(&mut cache, context(0), &token(*number)).is_some());
        assert_eq!(known.count(), 900);
    }

    #[test]
    fn entries_and_bytes_are_bounded() {
        let mut cache = TokenCache::new(10);
        for number in 0..1000 {
            let size = number * 37 % 9000;
            insert_twice(&mut cache, number, size);
            assert!(cache.places.len() <= 10 && cache.entries.len() <= 10);
            assert!(cache.bytes <= 10 * BYTES_PER_ENTRY, "{cache:?}");
            let found = get(&mut cache, context(0), &token(number));
            assert_eq!(found, Some(&number));
        }
        let sum: usize = cache.entries.iter().flatten().map(|entry| entry.bytes).sum();
        assert_eq!(sum, cache.bytes);
        insert(&mut cache, context(0), b"too large", 0, 100_000);
        assert_eq!(get(&mut cache, context(0), b"too large"), None);
    }

    #[test]
    fn a_cache_of_nothing_keeps_nothing() {
        let mut cache = TokenCache::new(0);
        insert(&mut cache, context(0), &token(1), 1, 0);
        assert!(cache.is_off() && get(&mut cache, context(0), &token(1)).is_none());
        let mut one = TokenCache::new(1);
        for number in 0..3 {
            insert_twice(&mut one, number, 0);
            assert_eq!(get(&mut one, context(0), &token(number)), Some(&number));
        }
    }

    #[test]
    fn a_token_that_comes_again_takes_its_own_place() {
        let mut cache = filled(3);
        insert(&mut cache, context(0), &token(1), 7, 0);
        assert_eq!(get(&mut cache, context(0), &token(1)), Some(&7));
        assert_eq!(cache.places.len(), 3);
    }
}
