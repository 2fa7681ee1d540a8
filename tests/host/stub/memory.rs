//! Counts the memory that a thread holds, so that a test can see what a request leaves behind.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that this thread has allocated and no one has freed; those that another thread freed count there.
pub(crate) fn held() -> isize {
    HELD.get()
}

fn count(size: usize, sign: isize) {
    let size = isize::try_from(size).unwrap_or(isize::MAX);
    // A thread that ends frees memory when its own variables are gone already.
    let _ = HELD.try_with(|held| held.set(held.get().wrapping_add(size.wrapping_mul(sign))));
}

// SAFETY: every call is passed on to the system's allocator as it is. `realloc` is the trait's own, which makes it of the
// other two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, data: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(data, layout) }
    }
}
