//! Every trap of the conversion rule book, and what PostgreSQL holds after it.

mod bench;

mod types;

mod keys;

mod objects;

mod values;

mod habits;
