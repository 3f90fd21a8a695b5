//! The only rooms with a voice.
