//! Runs programs over texts. A state is the set of places that a text has reached, with its known successors.
//!
//! The automaton makes a state when a text first reaches it, and forgets all states when they take too much
//! memory. A text costs one step for each byte if its states exist, and more for each state that it has to
//! make. [`Effort`] bounds that.

use std::rc::Rc;

use hashbrown::HashTable;

use super::effort::{Effort, Hits};
use super::program::{Place, Program, Side, bit, index};
use super::syntax;
use crate::sort::heap_sort;

/// The memory of the states of one program, in numbers of four bytes: half a MiB.
const MAX_MEMORY: usize = 128 * 1024;
/// An unknown successor.
const UNKNOWN: u32 = u32::MAX;
/// In the table, a state in which a pattern is decided.
const OPENS: u32 = 1 << 31;

/// The known states of a program.
#[derive(Clone, Debug, Default)]
pub(super) struct States {
    /// The texts have line feeds, or patterns have assertions. Then no pattern is decided early.
    has_lines: bool,
    /// For each state and class, the next state, multiplied by the number of classes.
    table: Vec<u32>,
    states: Vec<State>,
    /// The places of all states.
    places: Vec<u32>,
    known: HashTable<u32>,
    /// The places that the current byte reaches, one bit each, and in `open` those still to visit.
    reached: Vec<u64>,
    open: Vec<u32>,
    /// The number of the text, and the patterns that are decided for it.
    run: u32,
    decided: Vec<u32>,
}

#[derive(Clone, Debug)]
struct State {
    from: u32,
    to: u32,
    before: Side,
    /// The patterns that match a text that ends in this state.
    hits: Option<Rc<[u32]>>,
    /// The patterns that match every text that reaches this state, and the last text that did.
    opens: Rc<[u32]>,
    last_run: u32,
}

impl States {
    /// The states for texts with line feeds, or without.
    pub(super) fn of_texts(has_lines: bool) -> Self {
        Self {
            has_lines,
            ..Self::default()
        }
    }

    /// The patterns that match the whole text.
    pub(super) fn run(&mut self, program: &Program, text: &[u8], effort: &mut Effort) -> Hits {
        match self.try_run(program, text, effort) {
            Some(hits) => Hits::Known(hits),
            None => {
                // A run that was given up must leave no incomplete state.
                self.reached.fill(0);
                if self.states.len() < 2 {
                    self.states.clear();
                }
                Hits::Unknown
            }
        }
    }

    fn try_run(&mut self, program: &Program, text: &[u8], effort: &mut Effort) -> Option<Rc<[u32]>> {
        effort.spend(text.len())?;
        self.decided.clear();
        self.run = self.run.wrapping_add(1);
        if self.run == 0 {
            // The number of the text has wrapped around, and old states contain it.
            self.states.clear();
            self.run = 1;
        }
        if self.states.is_empty() {
            self.reset(program, effort)?;
        }
        let classes = &program.classes;
        // After the dead state, the first state is the next.
        let mut state = classes.count;
        self.decide(program, state, effort)?;
        let mut rest = text;
        loop {
            (state, rest) = self.skim(program, state, rest);
            let Some((byte, after)) = rest.split_first() else {
                break;
            };
            let class = match classes.ascii.get(usize::from(*byte)) {
                Some(class) => {
                    rest = after;
                    *class
                }
                None => {
                    let (code, length) = syntax::decode(rest);
                    rest = rest.get(length..)?;
                    classes.of(code)
                }
            };
            let entry = index(state.wrapping_add(class));
            let next = match self.table.get(entry).copied()? {
                UNKNOWN => self.follow(program, state, class, effort)?,
                next => next,
            };
            state = next & !OPENS;
            if next != state {
                self.decide(program, state, effort)?;
            }
            if state == 0 {
                break;
            }
        }
        let hits = self.end(program, state, effort)?;
        if self.decided.is_empty() {
            return Some(hits);
        }
        self.decided.extend_from_slice(&hits);
        heap_sort(&mut self.decided);
        self.decided.dedup();
        Some(self.decided.as_slice().into())
    }

    /// Continues while there is nothing to do. Returns the state and the rest of the text.
    fn skim<'t>(&self, program: &Program, mut state: u32, text: &'t [u8]) -> (u32, &'t [u8]) {
        let (table, classes) = (self.table.as_slice(), &*program.classes.ascii);
        let mut bytes = text.iter();
        loop {
            let rest = bytes.as_slice();
            let class = bytes.next().and_then(|byte| classes.get(usize::from(*byte)));
            let next = class.and_then(|class| table.get(index(state.wrapping_add(*class))));
            match next {
                // The dead state, a state in which a pattern is decided, or an unknown one.
                Some(next) if next.wrapping_sub(1) < OPENS.wrapping_sub(1) => state = *next,
                _ => return (state, rest),
            }
        }
    }

    /// Notes the patterns that match every continuation.
    fn decide(&mut self, program: &Program, state: u32, effort: &mut Effort) -> Option<()> {
        let number = index(state.checked_div(program.classes.count)?);
        let state = self.states.get_mut(number)?;
        if state.last_run != self.run {
            state.last_run = self.run;
            effort.spend(state.opens.len())?;
            self.decided.extend_from_slice(&state.opens);
        }
        Some(())
    }

    /// Forgets every state except the dead one and the start of texts.
    fn reset(&mut self, program: &Program, effort: &mut Effort) -> Option<()> {
        self.table.clear();
        self.states.clear();
        self.places.clear();
        self.known.clear();
        self.reached.resize(program.places.len().div_ceil(64), 0);
        self.intern(program, Side::Edge, effort)?;
        self.reach(program, program.start, effort)?;
        self.intern(program, Side::Edge, effort)?;
        Some(())
    }

    /// The successor of a state for a character of this class.
    fn follow(&mut self, program: &Program, state: u32, class: u32, effort: &mut Effort) -> Option<u32> {
        let after = match program.looks {
            true => program.classes.sides.get(index(class)).copied()?,
            false => Side::Edge,
        };
        self.pass_looks(program, state, after, effort)?;
        let passed = std::mem::take(&mut self.open);
        for place in &passed {
            match program.places.get(index(*place)) {
                Some(Place::Class(wanted, next)) if *wanted == class => {
                    self.reach(program, *next, effort)?;
                }
                Some(Place::Set(set, next)) => {
                    let set = program.sets.get(index(*set))?;
                    if set.get(index(class / 64))? & bit(class) != 0 {
                        self.reach(program, *next, effort)?;
                    }
                }
                _ => {}
            }
        }
        effort.spend_more(passed.len())?;
        let (next, is_fresh) = self.intern(program, after, effort)?;
        if !is_fresh {
            let entry = index(state.saturating_add(class));
            *self.table.get_mut(entry)? = next;
        }
        Some(next)
    }

    /// Leaves in `open` the places of a state, with those after each assertion that is true here.
    fn pass_looks(&mut self, program: &Program, state: u32, after: Side, effort: &mut Effort) -> Option<()> {
        let number = state.checked_div(program.classes.count)?;
        let State { from, to, before, .. } = self.states.get(index(number))?;
        let (from, to, before) = (*from, *to, *before);
        self.open.clear();
        let places = self.places.get(index(from)..index(to))?;
        self.open.extend_from_slice(places);
        if !program.looks {
            return Some(());
        }
        for place in self.open.clone() {
            if let Some(Place::Look(look, next)) = program.places.get(index(place))
                && look.holds(before, after)
            {
                self.reach_if(program, *next, effort, &|look| look.holds(before, after))?;
            }
        }
        let mut open = std::mem::take(&mut self.open);
        self.drain(&mut open);
        self.open = open;
        Some(())
    }

    /// The patterns that match a text which ends here.
    fn end(&mut self, program: &Program, state: u32, effort: &mut Effort) -> Option<Rc<[u32]>> {
        let number = index(state.checked_div(program.classes.count)?);
        if let Some(hits) = &self.states.get(number)?.hits {
            return Some(hits.clone());
        }
        self.pass_looks(program, state, Side::Edge, effort)?;
        effort.spend_more(self.open.len())?;
        let mut hits: Vec<u32> = self
            .open
            .iter()
            .filter_map(|place| match program.places.get(index(*place)) {
                Some(Place::End(pattern)) => Some(*pattern),
                _ => None,
            })
            .collect();
        heap_sort(&mut hits);
        hits.dedup();
        let hits: Rc<[u32]> = hits.into();
        self.states.get_mut(number)?.hits = Some(hits.clone());
        Some(hits)
    }

    /// Marks a place, and every place that it reaches without a character.
    fn reach(&mut self, program: &Program, place: u32, effort: &mut Effort) -> Option<()> {
        self.reach_if(program, place, effort, &|_| false)
    }

    fn reach_if(
        &mut self,
        program: &Program,
        place: u32,
        effort: &mut Effort,
        holds: &dyn Fn(super::syntax::Look) -> bool,
    ) -> Option<()> {
        let mut open = std::mem::take(&mut self.open);
        let before = open.len();
        open.push(place);
        while open.len() > before {
            let Some(place) = open.pop() else { break };
            let word = self.reached.get_mut(index(place / 64))?;
            if *word & bit(place) != 0 {
                continue;
            }
            *word |= bit(place);
            effort.spend_more(1)?;
            match program.places.get(index(place))? {
                Place::Split(one, other) => open.extend([*other, *one]),
                Place::Look(look, next) if holds(*look) => open.push(*next),
                Place::Open(_, next) => {
                    let is_open = matches!(program.places.get(index(*next)), Some(Place::Open(..)));
                    if self.has_lines || is_open {
                        open.push(*next);
                    }
                }
                _ => {}
            }
        }
        self.open = open;
        Some(())
    }

    /// The marked places, in order. It clears the marks.
    fn drain(&mut self, into: &mut Vec<u32>) {
        for (number, word) in (0_u32..).zip(&mut self.reached) {
            let mut left = std::mem::take(word);
            while left != 0 {
                into.push(number.saturating_mul(64).saturating_add(left.trailing_zeros()));
                left &= left.wrapping_sub(1);
            }
        }
    }

    /// The state of the marked places, and whether all other states were forgotten for it.
    fn intern(&mut self, program: &Program, before: Side, effort: &mut Effort) -> Option<(u32, bool)> {
        effort.spend_more(self.reached.len().checked_div(8)?)?;
        let from = self.places.len();
        let mut places = std::mem::take(&mut self.places);
        self.drain(&mut places);
        // A place that only leads to others is not a part of a state.
        let mut kept = from;
        for at in from..places.len() {
            let place = *places.get(at)?;
            let is_own = match program.places.get(index(place))? {
                Place::Split(..) | Place::Fail => false,
                Place::Open(..) => !self.has_lines,
                _ => true,
            };
            if is_own {
                *places.get_mut(kept)? = place;
                kept = kept.saturating_add(1);
            }
        }
        places.truncate(kept);
        self.places = places;
        let own = self.places.get(from..)?;
        effort.spend_more(own.len())?;
        let hash = own.iter().fold(before as u64, |hash, place| {
            (hash.rotate_left(5) ^ u64::from(*place)).wrapping_mul(0x517c_c1b7_2722_0a95)
        });
        let count = program.classes.count;
        let is_it = |known: &u32| {
            self.states.get(index(*known)).is_some_and(|state| {
                let places = self.places.get(index(state.from)..index(state.to));
                state.before == before && places == Some(own)
            })
        };
        if let Some(known) = self.known.find(hash, is_it).copied() {
            self.places.truncate(from);
            let opens = self
                .states
                .get(index(known))
                .is_some_and(|state| !state.opens.is_empty());
            return Some((entry_of(known.saturating_mul(count), opens), false));
        }
        let memory = self.table.len().saturating_add(self.places.len());
        if memory.saturating_add(index(count)) > MAX_MEMORY && self.states.len() > 2 {
            let own = own.to_vec();
            self.reset(program, effort)?;
            for place in own {
                *self.reached.get_mut(index(place / 64))? |= bit(place);
            }
            return Some((self.intern(program, before, effort)?.0, true));
        }
        let opens: Rc<[u32]> = own
            .iter()
            .filter_map(|place| match program.places.get(index(*place)) {
                Some(Place::Open(pattern, _)) => Some(*pattern),
                _ => None,
            })
            .collect();
        let is_open = !opens.is_empty();
        let number = u32::try_from(self.states.len()).ok()?;
        self.states.push(State {
            from: u32::try_from(from).ok()?,
            to: u32::try_from(self.places.len()).ok()?,
            before,
            hits: None,
            opens,
            last_run: 0,
        });
        let unknown = if number == 0 { 0 } else { UNKNOWN };
        self.table
            .resize(self.table.len().saturating_add(index(count)), unknown);
        let hashes = &self.states;
        let all = &self.places;
        self.known.insert_unique(hash, number, |known| {
            let Some(state) = hashes.get(index(*known)) else {
                return 0;
            };
            let places = all.get(index(state.from)..index(state.to));
            places
                .unwrap_or_default()
                .iter()
                .fold(state.before as u64, |hash, place| {
                    (hash.rotate_left(5) ^ u64::from(*place)).wrapping_mul(0x517c_c1b7_2722_0a95)
                })
        });
        Some((entry_of(number.saturating_mul(count), is_open), false))
    }
}

/// A state as it is in the table.
const fn entry_of(state: u32, opens: bool) -> u32 {
    match opens {
        true => state | OPENS,
        false => state,
    }
}
