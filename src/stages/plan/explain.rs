//! Shows the evidence behind a decision as text. Shows counts, ranges and places, never values other than integer
//! ranges.

use std::fmt::Write as _;

use super::{existing_schema::SettingTrials, setting_effect::SettingEffect, settings_by_rules};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{
        ColumnPlan, Conversion, Finding, PgType, Plan, Severity, TablePlan,
        cell::StorageClass,
        column_profile::ColumnProfile,
        conversion_plan::{OFFTYPE_TABLE, OffType, Origin, RowAddress},
        human_format::counted,
        overrides::Overrides,
        similar_name::nearest,
    },
    sqlite::{catalog, open},
};

/// What is said of one table or column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The evidence, as text for people.
    pub text: String,
    /// What each setting would do to the values of the column, the plan as it is first.
    pub settings: Vec<SettingEffect>,
}

/// The evidence for one table or column as text for people.
///
/// # Errors
/// `Usage` if there is no such table or column, with a similar name.
pub fn explain(plan: &Plan, place: &str) -> Result<String> {
    let named = |wanted: &str| plan.tables.iter().find(|table| table.source.eq_ignore_ascii_case(wanted));
    if let Some(table) = named(place) {
        return Ok(explain_table(plan, table));
    }
    if let Some((table, column)) = column_at(plan, place) {
        return Ok(explain_column(plan, table, column));
    }
    let tables = plan.tables.iter().map(|table| table.source.clone());
    let columns = plan
        .tables
        .iter()
        .flat_map(|table| table.columns.iter().map(move |column| format!("{}.{}", table.source, column.source)));
    let error = Error::new(Kind::Usage, format!("the plan has no table or column {place}"));
    let near = if place.contains('.') { nearest(place, columns) } else { nearest(place, tables) };
    Err(match near {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None => error,
    })
}

/// The evidence, and the settings that apply to the column.
///
/// # Errors
/// As [`explain`]; `SourceInvalid` if the dump can't be read; `Interrupted`.
pub(super) fn with_settings(ctx: &Context, plan: &Plan, overrides: &Overrides, place: &str) -> Result<Explanation> {
    let text = explain(plan, place)?;
    let is_table = plan.tables.iter().any(|table| table.source.eq_ignore_ascii_case(place));
    let Some((table, column)) = column_at(plan, place).filter(|_| !is_table) else {
        return Ok(Explanation { text, settings: Vec::new() });
    };
    let settings = effects(ctx, plan, overrides, (table, column))?;
    let mut explanation = Explanation { text, settings };
    let values = counted(explanation.settings.first().map_or(0, SettingEffect::values), "value", "values");
    for (number, effect) in explanation.settings.iter().enumerate() {
        let text = &mut explanation.text;
        match number {
            0 => line(text, &format!("  the {values} as planned, {}: {}", effect.pg_type, effect.words())),
            1 => line(text, &format!("  settings and consents that apply, and what becomes of the {values}:")),
            _ => {}
        }
        if number > 0 && effect.setting.starts_with("--") {
            line(text, &format!("    {}: {}", effect.setting, effect.words()));
        } else if number > 0 {
            line(text, &format!("    {} -> {}: {}", effect.setting, effect.pg_type, effect.words()));
        }
    }
    Ok(explanation)
}

/// The plan as it is, the settings, the consents.
fn effects(
    ctx: &Context,
    plan: &Plan,
    overrides: &Overrides,
    (table, column): (&TablePlan, &ColumnPlan),
) -> Result<Vec<SettingEffect>> {
    let path = ctx.workdir.source_db();
    let is_filled = column.generated.is_none() && column.conversion != Conversion::Absent;
    let has_values = column.evidence.values() + column.evidence.texts_empty > 0;
    if !is_filled || !has_values || table.address == RowAddress::Absent {
        return Ok(Vec::new());
    }
    let connection = open::read_only(&path)?;
    let mut schema = catalog::read(&connection)?;
    schema.skipped.extend(ctx.workdir.load_dump()?.left_out.iter().map(super::left_out));
    let mut found = match &plan.existing_schema {
        Some(existing) => {
            let (connection, source, stop) = (&connection, &schema, &ctx.stop);
            SettingTrials { connection, source, existing, overrides, stop }.effects(table, column)?
        }
        None => {
            let check = || ctx.stop.check();
            settings_by_rules::effects((&path, &schema), overrides, (&table.source, &column.source), &check)?
        }
    };
    let Some(base) = found.first().cloned() else { return Ok(found) };
    for finding in plan.findings.iter().filter(|finding| finding.severity == Severity::NeedsDecision) {
        let is_here = finding.table.as_deref() == Some(table.source.as_str())
            && finding.column.as_deref() == Some(column.source.as_str());
        let flag = format!("--accept {}@{}.{}", finding.code.word(), table.source, column.source);
        let is_new = found.iter().all(|effect| effect.setting != flag);
        if is_here && is_new && finding.choices.contains(&flag) {
            found.push(SettingEffect { setting: flag, consent: finding.code.doc().accepted, ..base.clone() });
        }
    }
    Ok(found)
}

fn column_at<'a>(plan: &'a Plan, place: &str) -> Option<(&'a TablePlan, &'a ColumnPlan)> {
    let columns = plan.tables.iter().flat_map(|table| table.columns.iter().map(move |column| (table, column)));
    let is_named = |(table, column): &(&TablePlan, &ColumnPlan)| {
        format!("{}.{}", table.source, column.source).eq_ignore_ascii_case(place)
    };
    columns.into_iter().find(is_named)
}

fn explain_table(plan: &Plan, table: &TablePlan) -> String {
    let mut text = String::new();
    line(&mut text, &format!("{}: {}, about {} bytes", table.source, counted(table.rows, "row", "rows"), table.bytes));
    if table.name != table.source {
        line(&mut text, &format!("  PostgreSQL name: {}", table.name));
    }
    let width = table.columns.iter().map(|column| column.source.chars().count()).max().unwrap_or(0);
    for column in &table.columns {
        let declared = declared(column);
        line(&mut text, &format!("  {:width$}  {declared} -> {}: {}", column.source, column.pg_type, column.rule));
    }
    let keys = table.primary_key.iter().map(|key| format!("primary key ({})", key.columns.join(", ")));
    let uniques = table.uniques.iter().map(|key| format!("unique ({})", key.columns.join(", ")));
    let indexes = table.indexes.iter().map(|index| format!("index {} ({})", index.name, index.keys.join(", ")));
    let references =
        table.foreign_keys.iter().map(|key| format!("foreign key ({}) to {}", key.columns.join(", "), key.parent));
    for words in keys.chain(uniques).chain(indexes).chain(references) {
        line(&mut text, &format!("  {words}"));
    }
    let of_table = |finding: &&Finding| finding.table.as_deref() == Some(table.source.as_str());
    findings(&mut text, plan.findings.iter().filter(of_table));
    text
}

fn explain_column(plan: &Plan, table: &TablePlan, column: &ColumnPlan) -> String {
    let mut text = String::new();
    line(&mut text, &format!("{}.{}: {} -> {}", table.source, column.source, declared(column), column.pg_type));
    let by = match column.origin {
        Origin::Rule => "rule",
        Origin::Override => "configuration",
    };
    line(&mut text, &format!("  decided by the {by}: {}", column.rule));
    if column.name != column.source {
        line(&mut text, &format!("  PostgreSQL name: {}", column.name));
    }
    evidence(&mut text, &table.address, table.rows, &column.evidence);
    for words in losses(column) {
        line(&mut text, &format!("  loss: {words}"));
    }
    if table.rejected > 0 {
        line(&mut text, &format!("  rows of the table that are left out: {}", table.rejected));
    }
    let of_column = |finding: &&Finding| {
        finding.table.as_deref() == Some(table.source.as_str())
            && finding.column.as_deref() == Some(column.source.as_str())
    };
    findings(&mut text, plan.findings.iter().filter(of_column));
    text
}

/// What the PostgreSQL value no longer says, and where it is kept.
fn losses(column: &ColumnPlan) -> Vec<String> {
    let profile = &column.evidence;
    let mut losses = Vec::new();
    if column.records_off_type {
        losses.push(format!("storage classes other than {}, which {OFFTYPE_TABLE} keeps", column.main_class));
    }
    if matches!(column.conversion, Conversion::Text { .. }) && profile.texts_not_storable() > 0 {
        losses.push(format!(
            "NUL and invalid UTF-8 in {} texts, whose bytes {OFFTYPE_TABLE} keeps",
            profile.texts_not_storable()
        ));
    }
    match column.exceptions.off_type {
        Some(OffType::Reject) => {
            losses.push("rows whose value doesn't fit, which convert/rejects.jsonl keeps".to_owned());
        }
        Some(OffType::Null) => losses.push(format!("values that don't fit, which {OFFTYPE_TABLE} keeps")),
        None => {}
    }
    if column.exceptions.empty_as_null && profile.texts_empty > 0 {
        losses.push(format!("{} empty texts become NULL, which {OFFTYPE_TABLE} records", profile.texts_empty));
    }
    let is_respelled = match column.conversion {
        Conversion::Json => column.pg_type == PgType::Jsonb,
        Conversion::Numeric => profile.reals > 0,
        _ => true,
    };
    let some = profile.texts_respelled > 0 && !column.pg_type.is_text() && column.pg_type != PgType::Bytea;
    let respelled = column.conversion.descriptor().respelling.filter(|_| is_respelled);
    let respelled = respelled.or(some.then_some("the spelling of some values"));
    losses.extend(respelled.map(|what| format!("{what}; the value is the same")));
    if losses.is_empty() {
        losses.push("none".to_owned());
    }
    losses
}

fn declared(column: &ColumnPlan) -> &str {
    if column.declared.is_empty() { "(no type)" } else { &column.declared }
}

fn evidence(text: &mut String, address: &RowAddress, rows: u64, profile: &ColumnProfile) {
    let word = if address.rowid_name().is_some() { "rowid" } else { "row" };
    line(text, &format!("  {rows} rows:"));
    let classes =
        [StorageClass::Null, StorageClass::Integer, StorageClass::Real, StorageClass::Text, StorageClass::Blob];
    for class in classes.into_iter().filter(|class| profile.count(*class) > 0) {
        let first = profile.first(class).map(|at| format!(", first at {word} {at}")).unwrap_or_default();
        line(text, &format!("    {:<8} {}{first}{}", class.word(), profile.count(class), range(class, profile)));
    }
    for (shape, count) in &profile.shapes {
        line(text, &format!("    shape {shape}: {count}"));
    }
    if let Some(at) = profile.first_off_shape {
        line(text, &format!("    first value of another shape: {word} {at}"));
    }
    if !profile.offsets.is_empty() {
        let offsets: Vec<String> = profile.offsets.iter().map(i32::to_string).collect();
        line(text, &format!("    offsets in minutes: {}", offsets.join(", ")));
    }
    for (count, what) in [
        (profile.integers_beyond_double, "integers beyond 2^53"),
        (profile.reals_negative_zero, "reals that are -0.0"),
        (profile.texts_whole, "texts that are whole numbers"),
        (profile.reals_infinite, "infinite reals"),
        (profile.texts_empty, "empty texts"),
        (profile.texts_with_nul, "texts with a NUL character"),
        (profile.texts_not_utf8, "texts of invalid UTF-8"),
        (profile.texts_like_numbers, "texts that look like numbers"),
        (profile.texts_over_declared, "texts longer than declared"),
        (profile.texts_respelled, "texts that PostgreSQL prints in another spelling"),
    ] {
        if count > 0 {
            line(text, &format!("    {what}: {count}"));
        }
    }
    if let Some(at) = profile.first_spoiler {
        line(text, &format!("    first value that the declared type doesn't hold: {word} {at}"));
    }
    if profile.decimal_digits != (0, 0) {
        let (whole, fraction) = profile.decimal_digits;
        line(text, &format!("    decimal digits: up to {whole} before and {fraction} after the point"));
    }
    if let Some(at) = profile.first_not_storable {
        line(text, &format!("    first text that PostgreSQL can't hold: {word} {at}"));
    }
}

fn range(class: StorageClass, profile: &ColumnProfile) -> String {
    match class {
        StorageClass::Integer => {
            profile.integer_range.map(|(least, most)| format!(", from {least} to {most}")).unwrap_or_default()
        }
        StorageClass::Real => format!(", {} of them whole", profile.reals_integral),
        StorageClass::Text => {
            format!(", up to {} characters, {} bytes", profile.text_longest.0, profile.text_longest.1)
        }
        StorageClass::Blob => format!(", up to {} bytes", profile.blob_longest),
        StorageClass::Null => String::new(),
    }
}

fn findings<'a>(text: &mut String, findings: impl Iterator<Item = &'a Finding>) {
    for finding in findings {
        let accepted = if finding.accepted { ", accepted" } else { "" };
        let severity = finding.severity.word();
        line(text, &format!("  {} ({severity}{accepted}): {}", finding.code.word(), finding.message));
        for choice in &finding.choices {
            line(text, &format!("    choice: {choice}"));
        }
    }
}

fn line(text: &mut String, words: &str) {
    // Writing to a String cannot fail.
    writeln!(text, "{words}").ok();
}
