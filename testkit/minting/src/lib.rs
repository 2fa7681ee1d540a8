//! Keys and tokens, good and bad, by another implementation than the module's own.

mod keys;
mod token;

pub use keys::{Algorithm, SigningKey, jwks};
pub use token::{
    Token, encode_segment, random_id, sha256_segment, tamper_claims, tamper_signature, unix_now,
};
