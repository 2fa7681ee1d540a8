//! The texts of HTTP that more than one part reads: URLs, authorities, percent-encoding, names, hexadecimal digits.
//!
//! Each has one reader, here. Must not know a request or the configuration.

mod authority;
mod hex;
pub mod percent;
mod token;
mod uri;

pub use authority::{Authority, DEFAULT_PORTS};
pub use hex::{octet, octets};
pub use token::is_token_byte;
pub use uri::{HttpUri, HttpUriFault, split_url};
