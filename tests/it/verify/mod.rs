//! Verification must find every corruption, name it, and find nothing where there is none.

mod fixture;

mod kinds;

mod corruption;

mod errors;

mod random;

mod loaded;
