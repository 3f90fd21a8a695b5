//! Values of chance for the sample database, the same for the same seed.

use super::Value;

pub(super) fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

pub(super) fn number(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

pub(super) fn at(n: u64) -> usize {
    usize::try_from(n).unwrap_or(0)
}

pub(super) fn pick<'a>(words: &[&'a str], n: u64) -> &'a str {
    words[at(n % u64::try_from(words.len()).unwrap_or(1))]
}

/// Splitmix64: the same seed gives the same rows on every machine.
pub(super) struct SampleRng(pub(super) u64);

impl SampleRng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) >> 1
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(super) fn one_in(&mut self, limit: u64) -> bool {
        self.below(limit) == 0
    }

    /// Full precision, so that a digit lost on the way shows.
    pub(super) fn real(&mut self, from: f64, to: f64) -> f64 {
        let part = f64::from(u32::try_from(self.below(1 << 32)).unwrap_or(0)) / f64::from(u32::MAX);
        from + (to - from) * part
    }

    pub(super) fn single(&mut self) -> f32 {
        f32::from(i16::try_from(self.below(65_536).cast_signed() - 32_768).unwrap_or(0)) / 32_768.0
    }

    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| u8::try_from(self.below(256)).unwrap_or(0)).collect()
    }

    pub(super) fn word(&mut self) -> &'static str {
        pick(&WORDS, self.next())
    }

    /// Seconds since 1970 in the years 2020 to 2025.
    pub(super) fn second(&mut self) -> i64 {
        1_577_836_800 + i64::try_from(self.below(189_000_000)).unwrap_or(0)
    }

    /// A day as text in the `years` years from `first`.
    pub(super) fn date(&mut self, first: u64, years: u64) -> String {
        format!("{:04}-{:02}-{:02}", first + self.below(years), self.below(12) + 1, self.below(28) + 1)
    }

    pub(super) fn timestamp(&mut self, between: &str) -> String {
        format!("{}{between}{:02}:{:02}:{:02}", self.date(2020, 5), self.below(24), self.below(60), self.below(60))
    }

    pub(super) fn uuid(&mut self) -> Value {
        let (a, b, c) = (self.below(1 << 32), self.below(1 << 28), self.below(1 << 60));
        text(&format!("{a:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}", b >> 12, b & 0xfff, c >> 48, c & 0xffff_ffff_ffff))
    }
}

pub(super) const FIRST_NAMES: [&str; 12] =
    ["Ada", "Alan", "Grace", "Edsger", "Barbara", "Donald", "Margaret", "Niklaus", "Frances", "Tony", "Zoë", "Łukasz"];
pub(super) const LAST_NAMES: [&str; 12] = [
    "Lovelace", "Turing", "Hopper", "Dijkstra", "Liskov", "Knuth", "Hamilton", "Wirth", "Allen", "Hoare", "Müller",
    "O'Neil",
];
pub(super) const CITIES: [&str; 8] = ["Lisbon", "Zürich", "Kraków", "Oslo", "Aarhus", "Ghent", "Turin", "Bath"];
pub(super) const ADJECTIVES: [&str; 8] = ["red", "small", "heavy", "quiet", "round", "warm", "plain", "bright"];
pub(super) const NOUNS: [&str; 10] =
    ["Lamp", "Chair", "Kettle", "Bottle", "Blanket", "Shelf", "Clock", "Basket", "Mirror", "Spoon"];
pub(super) const WORDS: [&str; 16] = [
    "good", "broken", "again", "never", "sturdy", "late", "lovely", "fine", "schön", "よい", "cheap", "worth", "it's",
    "100%", "so-so", "fast",
];
pub(super) const COUNTRIES: [(&str, &str); 25] = [
    ("AT", "Austria"),
    ("BE", "Belgium"),
    ("BG", "Bulgaria"),
    ("CH", "Switzerland"),
    ("CY", "Cyprus"),
    ("CZ", "Czechia"),
    ("DE", "Germany"),
    ("DK", "Denmark"),
    ("EE", "Estonia"),
    ("ES", "Spain"),
    ("FI", "Finland"),
    ("FR", "France"),
    ("GB", "United Kingdom"),
    ("GR", "Greece"),
    ("HR", "Croatia"),
    ("HU", "Hungary"),
    ("IE", "Ireland"),
    ("IT", "Italy"),
    ("LT", "Lithuania"),
    ("LV", "Latvia"),
    ("NL", "Netherlands"),
    ("NO", "Norway"),
    ("PL", "Poland"),
    ("PT", "Portugal"),
    ("SE", "Sweden"),
];
