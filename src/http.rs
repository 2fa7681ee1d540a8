//! Parsers for the texts of HTTP that several modules read: URLs, authorities, percent-encoding, names,
//! hexadecimal digits.
//!
//! Each text has one parser, here. It must not know requests or the configuration.

mod authority;
mod hex;
mod media_type;
pub mod percent;
mod token;
mod uri;

pub use authority::{Authority, DEFAULT_PORTS};
pub use hex::{octet, octets};
pub use media_type::is_grpc;
pub use token::is_token_byte;
pub use uri::{HttpUri, HttpUriFault, split_url};
