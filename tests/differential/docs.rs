//! The table in the documentation.
