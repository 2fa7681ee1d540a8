//! Counts the memory that a thread holds, so that a test can see what a request leaves behind.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The bytes that this thread has allocated and not freed. A free by another thread counts there.
pub(crate) fn held() -> isize {
    HELD.get()
}

fn count(size: usize, sign: isize) {
    let size = isize::try_from(size).unwrap_or(isize::MAX);
    // A thread that ends frees memory when its own variables are gone already.
    let _ = HELD.try_with(|held| held.set(held.get().wrapping_add(size.wrapping_mul(sign))));
}

// SAFETY: the system's allocator handles every call unchanged. `realloc` is the trait's default, which uses
// the other two.
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
