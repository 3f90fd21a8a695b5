//! The order of the stages; the only file that calls more than one.
