//! Resolves the overrides of the configuration against the schema: which tables, which types, which names. What the
//! configuration names must be there; a similar name is offered.

use std::collections::BTreeMap;

use wildmatch::WildMatch;

use crate::{
    error::{Error, Kind, Result},
    model::{
        FindingCode, PgType,
        conversion_plan::{Exceptions, ListForm, TimeEncoding, ZoneName},
        overrides::{BadText, ColumnOverride, Dates, Encoding, Overrides},
        pg_column_type::{Element, PgColumnType},
        similar_name::nearest,
        source_schema::{SourceColumn, SourceSchema},
    },
    rules::{
        existing_schema::zone,
        type_choice::{
            declared_type::{self, TypeFamily, squeezed},
            fk_types::ColumnPosition,
            value_check::ReadingOverride,
        },
    },
};

/// What is decided about one column.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ResolvedOverride {
    /// The type.
    pub(super) pg_type: Option<PgType>,
    /// How its values are read.
    pub(super) reading: Option<ReadingOverride>,
    /// The PostgreSQL name.
    pub(super) name: Option<String>,
    /// What becomes of values that don't fit.
    pub(super) exceptions: Exceptions,
    /// What becomes of texts that PostgreSQL can't hold.
    pub(super) bad_text: Option<BadText>,
    /// The zone of times that have none.
    pub(super) zone: Option<ZoneName>,
    /// How lists are written.
    pub(super) list: Option<ListForm>,
}

/// Everything that is decided, by positions in the schema.
#[derive(Debug, Default)]
pub(super) struct ResolvedOverrides {
    /// Whether a table is planned, for each table.
    pub(super) selected: Vec<bool>,
    /// Per column.
    pub(super) columns: BTreeMap<ColumnPosition, ResolvedOverride>,
    /// The zone of times that have none, in columns of which nothing is said.
    pub(super) zone: Option<ZoneName>,
}

/// Resolves the configuration.
///
/// # Errors
/// `Config` for a name that isn't there, a type that isn't one, a unit without a time.
pub(super) fn resolve(schema: &SourceSchema, overrides: &Overrides) -> Result<ResolvedOverrides> {
    let selected = selection(schema, overrides)?;
    let mut columns = by_declared_type(schema, overrides)?;
    let has_types = overrides.existing_schema.is_some();
    let default_zone = overrides.zone.as_deref().map(|zone| zone_named("zone", zone)).transpose()?;
    for (place, wanted) in &overrides.columns {
        let position = column_position(schema, place)?;
        let decision = if has_types { settings(place, wanted) } else { decision(place, wanted) }?;
        let typed = decision.pg_type.is_some() || columns.get(&position).is_some_and(|before| before.pg_type.is_some());
        if !has_types && decision.exceptions.off_type.is_some() && !typed && promises_nothing(schema, position) {
            let what = format!("columns.\"{place}\": off_type needs a type, because the declared one promises none");
            return Err(Error::new(Kind::Config, what).with_hint("add `type = ...` to the same column"));
        }
        let before = columns.entry(position).or_default();
        let pg_type = decision.pg_type.or_else(|| before.pg_type.take());
        *before = ResolvedOverride { pg_type, ..decision };
    }
    for wanted in overrides.tables.keys() {
        if !schema.tables.iter().any(|table| table.name.eq_ignore_ascii_case(wanted)) {
            let tables = schema.tables.iter().map(|table| table.name.clone());
            return Err(unknown(&format!("tables.\"{wanted}\": there is no such table"), wanted, tables));
        }
    }
    check_accepted(schema, overrides)?;
    Ok(ResolvedOverrides { selected, columns, zone: default_zone })
}

fn promises_nothing(schema: &SourceSchema, (table, column): ColumnPosition) -> bool {
    let column = schema.tables.get(table).and_then(|table| table.columns.get(column));
    column.is_some_and(|column| declared_type::of(&column.declared, column.affinity) == TypeFamily::Any)
}

/// What is said about a column whose type the rules or the configuration give.
fn decision(place: &str, wanted: &ColumnOverride) -> Result<ResolvedOverride> {
    let refused = |what: String| Error::new(Kind::Config, format!("columns.\"{place}\": {what}"));
    let mut decision = settings(place, wanted)?;
    decision.pg_type = match &wanted.pg_type {
        Some(text) => Some(text.parse::<PgType>().map_err(|reason| refused(format!("type: {reason}")))?),
        None => None,
    };
    let pg_type = &mut decision.pg_type;
    if let Some((key, reading)) = reading(wanted).next() {
        let (usual, fits) = types_of(reading);
        let requested = pg_type.get_or_insert(usual);
        if !fits.contains(requested) {
            let types: Vec<String> = fits.iter().map(PgType::to_string).collect();
            return Err(refused(format!("{key} goes with {}, not with {requested}", types.join(" or "))));
        }
    }
    if decision.zone.is_some() {
        let requested = pg_type.get_or_insert(PgType::TimestampTz);
        if !matches!(PgColumnType::of(requested).element, Element::TimestampTz { .. }) {
            return Err(refused(format!("zone goes with timestamptz, not with {requested}")));
        }
    }
    if decision.list.is_some() && !pg_type.as_ref().is_some_and(|pg_type| PgColumnType::of(pg_type).array) {
        return Err(refused("list requires a type that is an array, such as text[]".to_owned()));
    }
    if wanted.bad_text == Some(BadText::Bytea) && pg_type.as_ref().is_some_and(|pg_type| *pg_type != PgType::Bytea) {
        return Err(refused("bad_text = \"bytea\" goes without another type".to_owned()));
    }
    Ok(decision)
}

/// What is said about a column without regard to its type.
fn settings(place: &str, wanted: &ColumnOverride) -> Result<ResolvedOverride> {
    let mut readings = reading(wanted);
    let reading = readings.next();
    if let (Some((one, _)), Some((other, _))) = (reading, readings.next()) {
        return Err(Error::new(Kind::Config, format!("columns.\"{place}\": {one} and {other} exclude each other")));
    }
    let exceptions = Exceptions { empty_as_null: wanted.empty_as_null.unwrap_or(false), off_type: wanted.off_type };
    let zone = wanted.zone.as_deref().map(|zone| zone_named(&format!("columns.\"{place}\".zone"), zone)).transpose()?;
    Ok(ResolvedOverride {
        pg_type: None,
        reading: reading.map(|(_, reading)| reading),
        name: wanted.name.clone(),
        exceptions,
        bad_text: wanted.bad_text,
        zone,
        list: wanted.list,
    })
}

/// The readings that a column names, each with its key.
fn reading(wanted: &ColumnOverride) -> impl Iterator<Item = (&'static str, ReadingOverride)> {
    let readings = [
        wanted.from.map(|encoding| ("from", reading_of(encoding))),
        wanted.bool_words.unwrap_or(false).then_some(("bool_words", ReadingOverride::BoolWords)),
        wanted.dates.map(|Dates::Auto| ("dates", ReadingOverride::AnyTimestamp)),
    ];
    readings.into_iter().flatten()
}

fn zone_named(key: &str, text: &str) -> Result<ZoneName> {
    let zone = text.parse().ok().filter(|zone| zone::is_known(*zone));
    zone.ok_or_else(|| unknown(&format!("{key} is not the name of a time zone or an offset"), text, zone::names()))
}

const fn reading_of(encoding: Encoding) -> ReadingOverride {
    match encoding {
        Encoding::UnixS => ReadingOverride::TimeEncoding(TimeEncoding::UnixS),
        Encoding::UnixMs => ReadingOverride::TimeEncoding(TimeEncoding::UnixMs),
        Encoding::UnixUs => ReadingOverride::TimeEncoding(TimeEncoding::UnixUs),
        Encoding::UnixNs => ReadingOverride::TimeEncoding(TimeEncoding::UnixNs),
        Encoding::Julian => ReadingOverride::TimeEncoding(TimeEncoding::Julian),
        Encoding::CoreData => ReadingOverride::TimeEncoding(TimeEncoding::CoreData),
        Encoding::RailsTime => ReadingOverride::RailsTime,
        Encoding::GuidDotnet => ReadingOverride::GuidDotnet,
    }
}

/// The type that a reading override gives by default, and all types that it can give.
fn types_of(reading: ReadingOverride) -> (PgType, Vec<PgType>) {
    match reading {
        ReadingOverride::TimeEncoding(_) => {
            (PgType::TimestampTz, vec![PgType::TimestampTz, PgType::Timestamp, PgType::Date])
        }
        ReadingOverride::RailsTime => (PgType::Time, vec![PgType::Time]),
        ReadingOverride::GuidDotnet => (PgType::Uuid, vec![PgType::Uuid]),
        ReadingOverride::BoolWords => (PgType::Boolean, vec![PgType::Boolean]),
        ReadingOverride::AnyTimestamp => (PgType::TimestampTz, vec![PgType::TimestampTz]),
    }
}

fn by_declared_type(
    schema: &SourceSchema,
    overrides: &Overrides,
) -> Result<BTreeMap<ColumnPosition, ResolvedOverride>> {
    let mut decisions = BTreeMap::new();
    for (declared, wanted) in &overrides.types {
        let pg_type: PgType =
            wanted.parse().map_err(|reason| Error::new(Kind::Config, format!("types.\"{declared}\": {reason}")))?;
        let key = squeezed(declared);
        let mut found = false;
        for (position, column) in all_columns(schema) {
            let full = squeezed(&column.declared);
            let is_exact = full == key;
            if is_exact || without_arguments(&full) == key {
                found = true;
                let decision = ResolvedOverride { pg_type: Some(pg_type.clone()), ..ResolvedOverride::default() };
                // `varchar(20)` says more than `varchar`, whichever comes first.
                if is_exact || !decisions.contains_key(&position) {
                    decisions.insert(position, decision);
                }
            }
        }
        if !found {
            let declared_types = all_columns(schema).map(|(_, column)| squeezed(&column.declared));
            return Err(unknown(&format!("types.\"{declared}\": no column declares this type"), &key, declared_types));
        }
    }
    Ok(decisions)
}

fn without_arguments(squeezed: &str) -> &str {
    squeezed.split_once('(').map_or(squeezed, |(words, _)| words.trim_end())
}

fn all_columns(schema: &SourceSchema) -> impl Iterator<Item = (ColumnPosition, &SourceColumn)> {
    schema.tables.iter().enumerate().flat_map(|(table, source)| {
        source.columns.iter().enumerate().map(move |(column, found)| ((table, column), found))
    })
}

fn column_position(schema: &SourceSchema, place: &str) -> Result<ColumnPosition> {
    let named = |position: ColumnPosition, column: &SourceColumn| {
        let table = schema.tables.get(position.0).map_or("", |table| table.name.as_str());
        format!("{table}.{}", column.name)
    };
    let mut places: Vec<(ColumnPosition, String)> =
        all_columns(schema).map(|(position, column)| (position, named(position, column))).collect();
    let exact = places.iter().find(|(_, name)| name == place);
    if let Some((position, _)) = exact.or_else(|| places.iter().find(|(_, name)| name.eq_ignore_ascii_case(place))) {
        return Ok(*position);
    }
    let of_table = |name: &str| place.to_ascii_lowercase().starts_with(&format!("{}.", name.to_ascii_lowercase()));
    let table = schema.tables.iter().find(|table| of_table(&table.name));
    let what = match table {
        Some(table) => {
            places.retain(|(_, name)| name.starts_with(&format!("{}.", table.name)));
            format!("columns.\"{place}\": table {} has no such column", table.name)
        }
        None => format!("columns.\"{place}\": there is no such table and column"),
    };
    Err(unknown(&what, place, places.into_iter().map(|(_, name)| name)))
}

/// An error with the name that was probably meant, if one is close.
pub(super) fn unknown(what: &str, wanted: &str, known: impl Iterator<Item = String>) -> Error {
    let error = Error::new(Kind::Config, what);
    match nearest(wanted, known) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None => error,
    }
}

fn selection(schema: &SourceSchema, overrides: &Overrides) -> Result<Vec<bool>> {
    for (key, patterns) in [("include", &overrides.include), ("exclude", &overrides.exclude)] {
        for pattern in patterns.iter().filter(|pattern| !pattern.contains(['*', '?'])) {
            let left_out = schema.skipped.iter().any(|skipped| skipped.name.eq_ignore_ascii_case(pattern));
            let is_existing = overrides
                .existing_schema
                .as_ref()
                .is_some_and(|existing| existing.tables.iter().any(|table| table.name.eq_ignore_ascii_case(pattern)));
            let is_source = schema.tables.iter().any(|table| table.name.eq_ignore_ascii_case(pattern));
            if !left_out && !is_source && !is_existing {
                let tables = schema.tables.iter().map(|table| table.name.clone());
                return Err(unknown(&format!("{key} names {pattern}, which is no table"), pattern, tables));
            }
        }
    }
    let any = |patterns: &[String], name: &str| patterns.iter().any(|pattern| matches_glob(pattern, name));
    let selected =
        |name: &str| (overrides.include.is_empty() || any(&overrides.include, name)) && !any(&overrides.exclude, name);
    Ok(schema.tables.iter().map(|table| selected(&table.name)).collect())
}

/// `*` stands for any letters, `?` for one; ASCII case doesn't matter, as in SQLite's names.
fn matches_glob(pattern: &str, name: &str) -> bool {
    WildMatch::new(&pattern.to_ascii_lowercase()).matches(&name.to_ascii_lowercase())
}

/// The codes of `[accept]` must exist, and so must the tables of its places. Findings come and go with the data, so
/// that a place without a finding is no error.
fn check_accepted(schema: &SourceSchema, overrides: &Overrides) -> Result<()> {
    let objects = || {
        let tables = schema.tables.iter().map(|table| &table.name);
        let views = schema.views.iter().map(|view| &view.name);
        tables.chain(views).chain(schema.skipped.iter().map(|object| &object.name))
    };
    for (code, places) in &overrides.accepted() {
        if code != "all" && code.parse::<FindingCode>().is_err() {
            let codes = FindingCode::ALL.iter().map(|code| code.word().to_owned());
            return Err(unknown(&format!("accept names {code}, which is no finding code"), code, codes));
        }
        for place in places.iter().filter(|place| *place != "*") {
            let is_there = |name: &String| {
                let (place, name) = (place.to_ascii_lowercase(), name.to_ascii_lowercase());
                place == name || place.strip_prefix(&name).is_some_and(|rest| rest.starts_with('.'))
            };
            if !objects().any(is_there) {
                let what = format!("accept.{code} names {place}, which is no table or column");
                return Err(unknown(&what, place, objects().cloned()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::source_schema::Affinity, rules::affinity, sqlite::catalog};

    fn schema() -> SourceSchema {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE users(id INTEGER PRIMARY KEY, created_at DATETIME, name VARCHAR(20)); CREATE TABLE \"a.b\"(\"c.d\" VARCHAR(30))")
            .unwrap();
        catalog::read(&connection).unwrap()
    }

    fn with_column(place: &str, pg_type: Option<&str>, from: Option<Encoding>) -> Overrides {
        let column = ColumnOverride { pg_type: pg_type.map(str::to_owned), from, ..ColumnOverride::default() };
        Overrides { columns: BTreeMap::from([(place.to_owned(), column)]), ..Overrides::default() }
    }

    #[test]
    fn places_are_found_whatever_their_case_and_dots() {
        let found = resolve(&schema(), &with_column("USERS.Created_At", None, Some(Encoding::UnixMs))).unwrap();
        let decision = &found.columns[&(0, 1)];
        assert_eq!(
            (decision.pg_type.clone(), decision.reading),
            (Some(PgType::TimestampTz), Some(ReadingOverride::TimeEncoding(TimeEncoding::UnixMs)))
        );
        let found = resolve(&schema(), &with_column("a.b.c.d", Some("text"), None)).unwrap();
        assert!(found.columns.contains_key(&(1, 0)));
    }

    #[test]
    fn wrong_names_get_a_similar_one() {
        for (overrides, hint) in [
            (with_column("users.created", Some("text"), None), "did you mean `users.created_at`?"),
            (with_column("user.id", Some("bigint"), None), "did you mean `users.id`?"),
            (
                Overrides { types: BTreeMap::from([("varchr".to_owned(), "text".to_owned())]), ..Overrides::default() },
                "did you mean `varchar(20)`?",
            ),
            (Overrides { exclude: vec!["user".to_owned()], ..Overrides::default() }, "did you mean `users`?"),
            (
                Overrides {
                    accept: BTreeMap::from([("orphan-rows".to_owned(), vec!["userz".to_owned()])]),
                    ..Overrides::default()
                },
                "did you mean `users`?",
            ),
        ] {
            let error = resolve(&schema(), &overrides).unwrap_err();
            assert_eq!((error.kind(), error.hint()), (Kind::Config, hint), "{error}");
        }
        assert_eq!(
            resolve(&schema(), &with_column("users.id", Some("moneys"), None)).unwrap_err().kind(),
            Kind::Config
        );
        let error = resolve(&schema(), &with_column("users.id", Some("text"), Some(Encoding::UnixS))).unwrap_err();
        assert!(error.message().contains("not with text"), "{error}");
    }

    #[test]
    fn declared_types_are_overridden_with_and_without_arguments() {
        let types = [("varchar", "text"), ("varchar(20)", "varchar(40)")];
        let types = types.map(|(declared, wanted)| (declared.to_owned(), wanted.to_owned())).into();
        let found = resolve(&schema(), &Overrides { types, ..Overrides::default() }).unwrap();
        assert_eq!(found.columns[&(0, 2)].pg_type, Some(PgType::Varchar(40)));
        assert_eq!(found.columns[&(1, 0)].pg_type, Some(PgType::Text));
        assert_eq!(affinity::of("varchar", false), Affinity::Text);
    }

    #[test]
    fn globs_match_whole_names() {
        for (pattern, name, expected) in [
            ("users", "Users", true),
            ("user?", "users", true),
            ("user?", "user", false),
            ("*_log", "a_log", true),
            ("*_log", "a_logs", false),
            ("a*b*c", "axxbxxbxc", true),
            ("*", "", true),
            ("", "", true),
            ("?", "", false),
            ("", "a", false),
            ("**a?", "éaé", true),
            ("É", "é", false),
            ("[a]{b}", "[a]{b}", true),
        ] {
            assert_eq!(matches_glob(pattern, name), expected, "{pattern} {name}");
        }
    }
}
