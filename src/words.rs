//! Enums of which each value has one fixed word.

/// Declares such an enum: `enum Stage: word { Dump = "dump" }` gets `Stage::ALL`, `word()`, `Display`
/// and `FromStr`.
macro_rules! words {
    ($(#[$meta:meta])* $vis:vis enum $name:ident: $word:ident {
        $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+
    }) => {
        $(#[$meta])*
        $vis enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        #[allow(dead_code, reason = "not every enum is listed")]
        impl $name {
            /// All of them, in this order.
            $vis const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            /// The one word for it in texts, files and JSON.
            #[must_use]
            $vis const fn $word(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = ();

            fn from_str(word: &str) -> std::result::Result<Self, ()> {
                Self::ALL.into_iter().find(|one| one.$word() == word).ok_or(())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.$word())
            }
        }
    };
}
