//! The three functions that the page in the browser calls. They use one buffer in the memory of the module.
//!
//! The page calls [`input`] for room for that many bytes, writes its question there, calls [`answer`], which
//! returns the length of the answer, and reads that many bytes at [`output`]. [`jwtctl::page`] says what
//! questions and answers are.

use std::cell::RefCell;

thread_local! {
    /// The question, and then its answer.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Where the page writes a question of this many bytes.
#[unsafe(no_mangle)]
pub extern "C" fn input(length: usize) -> *mut u8 {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        buffer.resize(length, 0);
        buffer.as_mut_ptr()
    })
}

/// Answers the question, and returns the length of the answer.
#[unsafe(no_mangle)]
pub extern "C" fn answer() -> usize {
    BUFFER.with_borrow_mut(|buffer| {
        *buffer = jwtctl::page::answer(&String::from_utf8_lossy(buffer)).into_bytes();
        buffer.len()
    })
}

/// Where the answer is.
#[unsafe(no_mangle)]
pub extern "C" fn output() -> *const u8 {
    BUFFER.with_borrow(|buffer| buffer.as_ptr())
}
