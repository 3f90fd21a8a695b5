//! Verification must find every corruption, name it, and find nothing where there is none.

mod fixture;

mod kinds;

mod corruption;

mod refusals;

mod random;

mod loaded;
