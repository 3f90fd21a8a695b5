//! Tries the settings of one column whose type an existing schema gives. Each setting is a column of its own in one
//! reading of the table, and is judged by the code that makes the plan.

use rusqlite::Connection;

use super::{
    super::{
        override_resolution::resolve,
        setting_effect::{self, SettingEffect},
    },
    columns, values,
};
use crate::{
    context::Cancellation,
    error::Result,
    model::{
        ColumnPlan, Conversion, TablePlan,
        conversion_plan::{ExistingReading, ListForm, OffType},
        existing_schema::{ExistingColumn, ExistingSchema},
        overrides::{BadText, ColumnOverride, Encoding, Overrides},
        pg_column_type::{Element, InputSyntax, PgColumnType},
        source_schema::SourceSchema,
    },
    rules::existing_schema::{Altered, Note},
};

/// The zone that stands for any, where the configuration names none.
const ZONE: &str = "Europe/Berlin";

/// What is tried.
pub(in crate::stages::plan) struct SettingTrials<'a> {
    /// The dump.
    pub(in crate::stages::plan) connection: &'a Connection,
    /// What the source declares.
    pub(in crate::stages::plan) source: &'a SourceSchema,
    /// The existing schema.
    pub(in crate::stages::plan) existing: &'a ExistingSchema,
    /// What the configuration says.
    pub(in crate::stages::plan) overrides: &'a Overrides,
    /// A cancellation request.
    pub(in crate::stages::plan) stop: &'a Cancellation,
}

impl SettingTrials<'_> {
    /// The effect of each setting that applies, the plan as it is first.
    ///
    /// # Errors
    /// `SourceInvalid` if the file can't be read; `Interrupted`.
    pub(in crate::stages::plan) fn effects(
        &self,
        table: &TablePlan,
        column: &ColumnPlan,
    ) -> Result<Vec<SettingEffect>> {
        let target = self.existing.tables.iter().find(|found| found.name == table.name);
        let target = target.and_then(|found| found.columns.iter().find(|one| one.name == column.name));
        let (Some(target), Conversion::ExistingType(reading)) = (target, column.conversion) else {
            return Ok(Vec::new());
        };
        let place = format!("{}.{}", table.source, column.source);
        let named = self.overrides.columns.iter().find(|(name, _)| name.eq_ignore_ascii_case(&place));
        let current = named.map(|(_, current)| current.clone()).unwrap_or_default();
        let key = named.map_or_else(|| place.clone(), |(name, _)| name.clone());
        let tried: Vec<(ColumnOverride, ColumnPlan)> = wanted(&current, column, self.overrides)
            .into_iter()
            .filter_map(|wanted| {
                let planned = self.planned((&key, &place), &wanted, (column, reading), target)?;
                Some((wanted, planned))
            })
            .collect();
        let mut trial = TablePlan { columns: Vec::new(), ..table.clone() };
        trial.columns = tried.iter().map(|(_, planned)| planned.clone()).collect();
        let verdicts = values::check(self.connection, &trial, self.existing, self.stop)?;
        let mut found: Vec<SettingEffect> = Vec::new();
        for ((wanted, planned), verdict) in tried.iter().zip(&verdicts.columns) {
            let mut effect = effect(planned, verdict);
            let is_same = |base: &SettingEffect| SettingEffect { setting: String::new(), ..effect.clone() } == *base;
            // A setting that changes nothing does not apply; what becomes of bad texts is a decision all the same.
            if wanted.bad_text == current.bad_text && found.first().is_some_and(is_same) {
                continue;
            }
            if !found.is_empty() {
                effect.setting = setting_effect::line(&table.source, &column.source, wanted);
            }
            found.push(effect);
        }
        Ok(found)
    }

    /// The column with this setting; none if the setting does not go with the type.
    fn planned(
        &self,
        (key, place): (&str, &str),
        wanted: &ColumnOverride,
        (column, before): (&ColumnPlan, ExistingReading),
        target: &ExistingColumn,
    ) -> Option<ColumnPlan> {
        let columns = self.overrides.columns.clone().into_iter().chain([(key.to_owned(), wanted.clone())]).collect();
        let decisions = resolve(self.source, &Overrides { columns, ..self.overrides.clone() }).ok()?;
        let decision = decisions.columns.iter().find_map(|((table, at), decision)| {
            let found = self.source.tables.get(*table)?;
            let name = &found.columns.get(*at)?.name;
            format!("{}.{name}", found.name).eq_ignore_ascii_case(place).then_some(decision)
        });
        let nothing = super::ResolvedOverride::default();
        let decision = decision.unwrap_or(&nothing);
        let mut reading = columns::requested_reading(place, decision, target, decisions.zone, &column.evidence).ok()?;
        // What the values or the declared default decided stays, unless the setting decides it.
        reading.count = reading.count.or(before.count);
        if wanted.from.is_none() {
            reading.guid = before.guid;
        }
        let mut planned = column.clone();
        planned.conversion = Conversion::ExistingType(reading);
        planned.exceptions = decision.exceptions;
        // The numbers of a profile leave out empty texts that become NULL.
        let evidence = &mut planned.evidence;
        match (column.exceptions.empty_as_null, decision.exceptions.empty_as_null) {
            (false, true) => {
                evidence.texts = evidence.texts.saturating_sub(evidence.texts_empty);
                evidence.nulls += evidence.texts_empty;
            }
            (true, false) => {
                evidence.texts += evidence.texts_empty;
                evidence.nulls = evidence.nulls.saturating_sub(evidence.texts_empty);
            }
            _ => {}
        }
        Some(planned)
    }
}

/// The settings to try, what the configuration says now first.
fn wanted(current: &ColumnOverride, column: &ColumnPlan, overrides: &Overrides) -> Vec<ColumnOverride> {
    let PgColumnType { element, array } = PgColumnType::of(&column.pg_type);
    let mut found = vec![current.clone()];
    found.push(ColumnOverride { empty_as_null: Some(true), ..current.clone() });
    for off_type in [OffType::Null, OffType::Reject] {
        found.push(ColumnOverride { off_type: Some(off_type), ..current.clone() });
    }
    let units =
        [Encoding::UnixS, Encoding::UnixMs, Encoding::UnixUs, Encoding::UnixNs, Encoding::Julian, Encoding::CoreData];
    let readings: &[Encoding] = match element {
        Element::Uuid => &[Encoding::GuidDotnet],
        Element::Date
        | Element::Timestamp { .. }
        | Element::TimestampTz { .. }
        | Element::TextInput(InputSyntax::Interval) => &units,
        _ => &[],
    };
    for from in readings {
        let (dates, bool_words) = (None, None);
        found.push(ColumnOverride { from: Some(*from), dates, bool_words, ..current.clone() });
    }
    if matches!(element, Element::TimestampTz { .. }) {
        let zone = overrides.zone.clone().or_else(|| Some(ZONE.to_owned()));
        found.push(ColumnOverride { zone, ..current.clone() });
    }
    if array {
        found.push(ColumnOverride { list: Some(ListForm::Comma), ..current.clone() });
    }
    if matches!(element, Element::Text { .. }) && !array && column.evidence.texts_not_storable() > 0 {
        for bad_text in [BadText::Replace, BadText::Fail] {
            found.push(ColumnOverride { bad_text: Some(bad_text), ..current.clone() });
        }
    }
    found
}

fn effect(planned: &ColumnPlan, verdict: &values::ColumnMismatches) -> SettingEffect {
    let (profile, exceptions) = (&planned.evidence, planned.exceptions);
    let misfits = verdict.misfits();
    let mut effect = SettingEffect {
        pg_type: planned.pg_type.to_string(),
        exact: profile.values().saturating_sub(misfits + verdict.altered_values),
        altered: verdict.altered_values,
        becomes_null: if exceptions.empty_as_null { profile.texts_empty } else { 0 },
        ..SettingEffect::default()
    };
    match exceptions.off_type {
        Some(OffType::Null) => effect.becomes_null += misfits,
        Some(OffType::Reject) => effect.rejected += misfits,
        None => effect.not_fitting += misfits,
    }
    effect.alterations = verdict.altered.iter().map(|(altered, found)| (loss(*altered), found.count)).collect();
    if verdict.replaced_texts > 0 {
        effect.alterations.insert(setting_effect::REPLACED, verdict.replaced_texts);
    }
    effect.assumptions = verdict.notes.iter().map(|(note, count)| (assumption(*note), *count)).collect();
    effect
}

const fn loss(altered: Altered) -> &'static str {
    match altered {
        Altered::Rounded => "rounded",
        Altered::FractionCut => "with cut digits of a second",
        Altered::TimeCut => "without their time of day",
        Altered::LengthCut => "cut to the length of the type",
        Altered::Shifted => "without their offset from UTC",
        Altered::Ambiguous => "ambiguous in the zone",
    }
}

const fn assumption(note: Note) -> &'static str {
    match note {
        Note::NaiveAsUtc => "without zone read as UTC",
        Note::NaiveInZone => "without zone read in the zone of the configuration",
        Note::ZoneNotKept => "in a type without zone",
        Note::NumberSpelling => "spelled otherwise as numbers",
        Note::TextAsBytes => "texts loaded as their bytes",
        Note::Microseconds => "integers read as microseconds",
        Note::Money => "depending on lc_monetary",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{PgType, cell::StorageClass, conversion_plan::RowAddress, existing_schema::ExistingTable},
        rules::value_shape::WantedShapes,
        sqlite::{catalog, profile, table_rows},
    };

    /// The lines about a column of this type with these values, written as SQL.
    fn lines(pg_type: &str, values: &[&str], overrides: &Overrides) -> Vec<String> {
        let connection = Connection::open_in_memory().unwrap();
        let rows = values.iter().map(|value| format!("({value})")).collect::<Vec<_>>().join(", ");
        connection.execute_batch(&format!("CREATE TABLE t(c ANY); INSERT INTO t VALUES {rows}")).unwrap();
        let source = catalog::read(&connection).unwrap();
        let pg_type: PgType = pg_type.parse().unwrap();
        let target = ExistingColumn {
            name: "c".to_owned(),
            is_domain: false,
            pg_type: pg_type.clone(),
            not_null: false,
            default: None,
            is_volatile: false,
            generated: None,
            sequence: None,
        };
        let target = ExistingTable { name: "t".to_owned(), columns: vec![target], ..ExistingTable::default() };
        let existing = ExistingSchema { tables: vec![target], ..ExistingSchema::default() };
        let conversion = Conversion::ExistingType(ExistingReading::default());
        let mut column = ColumnPlan::new("c", pg_type, conversion, StorageClass::Text);
        let mut statement = connection.prepare("SELECT c FROM t").unwrap();
        let mut cells = statement.query([]).unwrap();
        let mut owned = Vec::new();
        while let Some(row) = cells.next().unwrap() {
            owned.push(row.get::<_, rusqlite::types::Value>(0).unwrap());
        }
        let cells: Vec<_> = owned.iter().map(|value| table_rows::cell_of(value.into())).collect();
        column.evidence = profile::of_cells(WantedShapes::default(), &cells);
        let mut table = TablePlan::new("t", "t", RowAddress::Rowid("rowid".to_owned()));
        table.rows = values.len() as u64;
        let overrides = Overrides { existing_schema: Some(Box::new(existing.clone())), ..overrides.clone() };
        let (overrides, stop) = (&overrides, Cancellation::default());
        let trials =
            SettingTrials { connection: &connection, source: &source, existing: &existing, overrides, stop: &stop };
        let effects = trials.effects(&table, &column).unwrap();
        effects.iter().map(|effect| format!("{}: {}", effect.setting, effect.words())).collect()
    }

    #[test]
    fn settings_of_an_existing_type_are_counted() {
        let none = Overrides::default();
        assert_eq!(
            lines("integer", &["1", "''", "'x'", "NULL"], &none),
            [
                ": 1 exact, 2 not fitting",
                "columns.\"t.c\" = { empty_as_null = true }: 1 exact, 1 NULL, 1 not fitting",
                "columns.\"t.c\" = { off_type = \"null\" }: 1 exact, 2 NULL",
                "columns.\"t.c\" = { off_type = \"reject\" }: 1 exact, 2 rejected",
            ]
        );
        let cut = "1 cut to the length of the type";
        let replaced = "1 with U+FFFD for what text cannot hold";
        assert_eq!(
            lines("varchar(2)", &["'ab'", "'abc'", "CAST(x'6100' AS TEXT)"], &none),
            [
                format!(": 1 exact, 2 altered ({cut}, {replaced})"),
                format!("columns.\"t.c\" = {{ bad_text = \"replace\" }}: 1 exact, 2 altered ({cut}, {replaced})"),
                format!("columns.\"t.c\" = {{ bad_text = \"fail\" }}: 1 exact, 1 altered ({cut}), 1 not fitting"),
            ]
        );
        let lists = lines("text[]", &["'a,b'", "'[\"a\"]'"], &none);
        assert!(lists.contains(&"columns.\"t.c\" = { list = \"comma\" }: 2 exact".to_owned()), "{lists:?}");
    }

    #[test]
    fn units_and_zones_are_counted() {
        let times = lines("timestamptz", &["1700000000", "'2024-01-02 03:04:05'"], &Overrides::default());
        assert_eq!(times[0], ": 1 exact, 1 not fitting; 1 without zone read as UTC");
        for line in [
            "columns.\"t.c\" = { from = \"unix_s\" }: 2 exact; 1 without zone read as UTC",
            "columns.\"t.c\" = { zone = \"Europe/Berlin\" }: 1 exact, 1 not fitting; 1 without zone read in the zone of the \
             configuration",
        ] {
            assert!(times.contains(&line.to_owned()), "{times:#?}");
        }
        assert!(times.iter().all(|line| !line.contains("1700000000") && !line.contains("2024")), "{times:?}");
        let columns = [("T.c".to_owned(), ColumnOverride { from: Some(Encoding::UnixS), ..ColumnOverride::default() })];
        let configured = Overrides { columns: columns.into(), ..Overrides::default() };
        let times = lines("timestamptz", &["1700000000", "''"], &configured);
        assert_eq!(
            times[..2],
            [
                ": 1 exact, 1 not fitting".to_owned(),
                "columns.\"t.c\" = { empty_as_null = true, from = \"unix_s\" }: 1 exact, 1 NULL".to_owned()
            ]
        );
    }
}
