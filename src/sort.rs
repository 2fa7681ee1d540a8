//! Sorting in little code: the standard library's sorts cost the module 3 to 8 KB for each type.

/// Sorts in place, by a heap. Equal elements may change their order.
pub(crate) fn heap_sort<T: Ord>(list: &mut [T]) {
    for at in (0..list.len() / 2).rev() {
        sink(list, at);
    }
    for last in (1..list.len()).rev() {
        list.swap(0, last);
        if let Some(rest) = list.get_mut(..last) {
            sink(rest, 0);
        }
    }
}

/// Moves an element down until neither element below it is larger.
fn sink<T: Ord>(list: &mut [T], mut at: usize) {
    loop {
        let left = at.saturating_mul(2).saturating_add(1);
        let right = left.saturating_add(1);
        let larger = match (list.get(left), list.get(right)) {
            (None, _) => break,
            (Some(one), Some(other)) if other > one => right,
            _ => left,
        };
        if list.get(at) >= list.get(larger) {
            break;
        }
        list.swap(at, larger);
        at = larger;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_in_order_as_the_library_has_them() {
        let mut chance = testkit::Random::new(5);
        for _ in 0..2000 {
            let mut list: Vec<usize> = (0..chance.below(40)).map(|_| chance.below(20)).collect();
            let mut expected = list.clone();
            expected.sort_unstable();
            heap_sort(&mut list);
            assert_eq!(list, expected);
        }
    }
}
