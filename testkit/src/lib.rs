//! The real parts around the filter.
