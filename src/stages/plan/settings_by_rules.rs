//! Tries the settings of one column whose type the rules or the configuration give. The column is read once: each
//! setting is a scan of its own in the same pass, and is judged by the code that makes the plan.

use std::{collections::BTreeMap, ops::Range, path::Path};

use super::{
    override_resolution::{ResolvedOverrides, resolve},
    setting_effect::{self, SettingEffect},
    table_draft::{self, DraftColumn},
    table_outline::{ColumnOutline, TableOutline, outlines},
};
use crate::{
    error::Result,
    model::{
        FindingCode, Severity,
        conversion_plan::{EpochUnit, ListForm, OffType},
        overrides::{BadText, ColumnOverride, Dates, Encoding, Overrides},
        source_schema::{SourceColumn, SourceSchema},
    },
    rules::type_choice::{
        declared_type::{self, TypeFamily},
        name_means_time,
        value_check::epoch_unit,
    },
    sqlite::profile::{self, ColumnScan, ColumnSurvey, SurveyProgress},
};

/// Types that are tried. Others can be named in the configuration. What only PostgreSQL's own input function can judge,
/// such as an interval, is not among them.
const TYPES: [&str; 16] = [
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "numeric",
    "double precision",
    "text",
    "bytea",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "uuid",
    "json",
    "jsonb",
    "inet",
];

/// The zone that stands for any, where the configuration names none.
const ZONE: &str = "Europe/Berlin";

/// How numbers can be read as times, with the unit that their range can tell.
const UNITS: [(Encoding, Option<EpochUnit>); 6] = [
    (Encoding::UnixS, Some(EpochUnit::Seconds)),
    (Encoding::UnixMs, Some(EpochUnit::Milliseconds)),
    (Encoding::UnixUs, Some(EpochUnit::Microseconds)),
    (Encoding::UnixNs, None),
    (Encoding::Julian, None),
    (Encoding::CoreData, None),
];

/// What makes a setting worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// The plan as it is.
    Always,
    /// It gives another type, and some values are of it.
    OtherType,
    /// Some values are read by it.
    SomeFit,
    /// The same, and the column or its values suggest a time in this unit.
    Time(Encoding),
    /// Some values are left out or become NULL.
    SomeLeft,
    /// Some texts cannot be held.
    BadText,
}

/// One setting with what the configuration resolves to.
struct Trial {
    wanted: ColumnOverride,
    shown: Shown,
    decisions: ResolvedOverrides,
}

/// The effect of each setting that applies, the plan as it is first.
///
/// # Errors
/// `SourceInvalid` if the dump can't be read; what `check` returns.
pub(super) fn effects(
    (path, schema): (&Path, &SourceSchema),
    overrides: &Overrides,
    (table, column): (&str, &str),
    check: &(dyn Fn() -> Result<()> + Sync),
) -> Result<Vec<SettingEffect>> {
    let place = format!("{table}.{column}");
    let named = overrides.columns.iter().find(|(name, _)| name.eq_ignore_ascii_case(&place));
    let current = named.map(|(_, current)| current.clone()).unwrap_or_default();
    let key = named.map_or_else(|| place.clone(), |(name, _)| name.clone());
    let trials: Vec<Trial> = wanted(&current, overrides)
        .into_iter()
        .filter_map(|(wanted, shown)| {
            let columns = overrides.columns.clone().into_iter().chain([(key.clone(), wanted.clone())]).collect();
            let decisions = resolve(schema, &Overrides { columns, ..overrides.clone() }).ok()?;
            Some(Trial { wanted, shown, decisions })
        })
        .collect();
    let outlined: Vec<(&Trial, TableOutline<'_>, usize)> = trials
        .iter()
        .filter_map(|trial| {
            let all = outlines(schema, &trial.decisions, overrides.vector_extension);
            let outline = all.into_iter().find(|outline| outline.source.name == table)?;
            let at = outline.columns.iter().position(|found| found.source.name == column)?;
            Some((trial, outline, at))
        })
        .collect();
    let columns: Vec<&ColumnOutline<'_>> =
        outlined.iter().filter_map(|(_, outline, at)| outline.columns.get(*at)).collect();
    let Some((_, first, _)) = outlined.first() else { return Ok(Vec::new()) };
    let surveys = surveys(path, first, &columns, check)?;
    let mut found: Vec<SettingEffect> = Vec::new();
    for (((trial, outline, _), planned), survey) in outlined.iter().zip(&columns).zip(surveys) {
        let draft = table_draft::draft_column(outline, planned, survey, overrides.vector_extension);
        let mut effect = effect(&draft);
        if trial.shown != Shown::Always {
            effect.setting = setting_effect::line(table, column, &trial.wanted);
        }
        let is_new = |base: &SettingEffect| is_shown(trial, &effect, &draft, planned.source, base);
        if found.first().is_none_or(is_new) {
            found.push(effect);
        }
    }
    Ok(found)
}

/// What is found with each setting. The values are profiled at most twice in the one pass: with empty texts as texts,
/// and with empty texts as NULL. All types to test are tested beside that.
fn surveys(
    path: &Path,
    outline: &TableOutline<'_>,
    columns: &[&ColumnOutline<'_>],
    check: &(dyn Fn() -> Result<()> + Sync),
) -> Result<Vec<ColumnSurvey>> {
    let mut scans: Vec<(&str, ColumnScan)> = Vec::new();
    // Of each setting the scan, and its candidates there.
    let mut places = Vec::new();
    for column in columns {
        let wanted = column.scan();
        let known = scans.iter().position(|(_, scan)| scan.empty_as_null == wanted.empty_as_null);
        let at = known.unwrap_or(scans.len());
        if known.is_none() {
            scans.push((column.source.name.as_str(), ColumnScan { candidates: Vec::new(), ..wanted.clone() }));
        }
        if let Some((_, scan)) = scans.get_mut(at) {
            let from = scan.candidates.len();
            scan.candidates.extend(wanted.candidates);
            places.push((at, from..scan.candidates.len()));
        }
    }
    let listener = |_: SurveyProgress<'_>| check();
    let tables = profile::survey(path, &[outline.scan_columns(scans)], &listener)?;
    let surveyed = tables.into_iter().next().unwrap_or_default().columns;
    let of_setting = |(at, range): (usize, Range<usize>)| {
        let survey = surveyed.get(at).cloned().unwrap_or_default();
        ColumnSurvey { mismatches: survey.mismatches.get(range).unwrap_or_default().to_vec(), ..survey }
    };
    Ok(places.into_iter().map(of_setting).collect())
}

/// The settings to try.
fn wanted(current: &ColumnOverride, overrides: &Overrides) -> Vec<(ColumnOverride, Shown)> {
    let plain = || ColumnOverride {
        pg_type: None,
        from: None,
        bool_words: None,
        dates: None,
        zone: None,
        list: None,
        bad_text: None,
        ..current.clone()
    };
    let mut found = vec![(current.clone(), Shown::Always)];
    found.push((ColumnOverride { empty_as_null: Some(true), ..current.clone() }, Shown::SomeLeft));
    for off_type in [OffType::Null, OffType::Reject] {
        found.push((ColumnOverride { off_type: Some(off_type), ..current.clone() }, Shown::SomeLeft));
    }
    for bad_text in [BadText::Replace, BadText::Bytea, BadText::Fail] {
        found.push((ColumnOverride { bad_text: Some(bad_text), ..current.clone() }, Shown::BadText));
    }
    for pg_type in TYPES {
        found.push((ColumnOverride { pg_type: Some(pg_type.to_owned()), ..plain() }, Shown::OtherType));
    }
    for (from, _) in UNITS {
        let pg_type = Some("timestamptz".to_owned());
        found.push((ColumnOverride { pg_type, from: Some(from), ..plain() }, Shown::Time(from)));
    }
    for from in [Encoding::RailsTime, Encoding::GuidDotnet] {
        found.push((ColumnOverride { from: Some(from), ..plain() }, Shown::SomeFit));
    }
    found.push((ColumnOverride { bool_words: Some(true), ..plain() }, Shown::SomeFit));
    found.push((ColumnOverride { dates: Some(Dates::Auto), ..plain() }, Shown::SomeFit));
    let zone = overrides.zone.clone().or_else(|| Some(ZONE.to_owned()));
    found.push((ColumnOverride { zone, ..plain() }, Shown::SomeFit));
    let list = Some(ListForm::Comma);
    found.push((ColumnOverride { list, ..current.clone() }, Shown::SomeFit));
    let mut seen = Vec::new();
    found.retain(|(wanted, _)| {
        let is_new = !seen.contains(wanted);
        seen.push(wanted.clone());
        is_new
    });
    found
}

fn is_shown(
    trial: &Trial,
    effect: &SettingEffect,
    draft: &DraftColumn,
    column: &SourceColumn,
    base: &SettingEffect,
) -> bool {
    let profile = &draft.profile;
    match trial.shown {
        Shown::Always => true,
        Shown::OtherType => effect.exact > 0 && effect.pg_type != base.pg_type,
        Shown::SomeFit => effect.exact > 0,
        Shown::SomeLeft => effect.becomes_null + effect.rejected > base.becomes_null + base.rejected,
        Shown::BadText => profile.texts_not_storable() > 0,
        Shown::Time(from) => {
            let family = declared_type::of(&column.declared, column.affinity);
            let is_declared = matches!(family, TypeFamily::Date | TypeFamily::Timestamp { .. });
            let unit = profile.integer_range.and_then(epoch_unit);
            let by_range = unit.is_some() && UNITS.iter().any(|(one, of)| *one == from && *of == unit);
            effect.exact > 0 && (is_declared || name_means_time(&column.name) || by_range)
        }
    }
}

/// The counts of a column that was drafted.
fn effect(draft: &DraftColumn) -> SettingEffect {
    let (profile, choice) = (&draft.profile, &draft.choice);
    let is_refused = |code: FindingCode| {
        choice.findings.iter().any(|finding| finding.code == code && finding.severity == Severity::Refused)
    };
    let refuses_null = is_refused(FindingCode::TypeDoesNotFit);
    let mut effect = SettingEffect { pg_type: choice.pg_type.to_string(), ..SettingEffect::default() };
    let misfits = draft.mismatches.count;
    match choice.exceptions.off_type {
        Some(OffType::Reject) => effect.rejected += misfits,
        Some(OffType::Null) if !refuses_null => effect.becomes_null += misfits,
        Some(OffType::Null) | None => effect.not_fitting += misfits,
    }
    let unstorable = if choice.pg_type.is_text() { profile.texts_not_storable() } else { 0 };
    if is_refused(FindingCode::TextNotStorable) {
        effect.not_fitting += unstorable;
    } else if unstorable > 0 {
        effect.altered += unstorable;
        effect.alterations = BTreeMap::from([(setting_effect::REPLACED, unstorable)]);
    }
    effect.exact = profile.values().saturating_sub(misfits + unstorable);
    if choice.exceptions.empty_as_null && refuses_null {
        effect.not_fitting += profile.texts_empty;
    } else if choice.exceptions.empty_as_null {
        effect.becomes_null += profile.texts_empty;
    }
    effect
}
