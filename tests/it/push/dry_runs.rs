//! A dry run prints the plan that the push then applies.

use turso2neon::{
    model::push_plan::{Action, Kept, PushPlan},
    stages::push::{PushPart, PushRequest},
};

use super::fixture::{LocalFixture, remote_url, requested, run, shop_plan, shop_rows};
use crate::support::Target;

/// The plan of a dry run, what it printed, and the plan in the checkpoint of the push that follows.
fn dry_and_real(fixture: &LocalFixture, request: &PushRequest, target: &Target) -> (PushPlan, Vec<String>, PushPlan) {
    let (ctx, _) = fixture.context();
    let before = (target.content("public"), target.content("turso2neon"));
    let dry = run(&ctx, &PushRequest { dry_run: true, ..request.clone() }).unwrap();
    assert!(dry.checkpoint.is_none());
    assert_eq!((target.content("public"), target.content("turso2neon")), before, "a dry run wrote something");
    let pushed = run(&ctx, request).unwrap();
    let kept_in_checkpoint = pushed.checkpoint.unwrap().plan.unwrap();
    assert_eq!(pushed.plan.as_ref(), Some(&kept_in_checkpoint));
    (dry.plan.unwrap(), dry.dry_run, kept_in_checkpoint)
}

/// Names of the tables in the schemas where a push keeps what it replaced or changed.
fn kept_on(target: &Target) -> (String, String) {
    let tables = |schema: &str| {
        target.value(&format!(
            "SELECT coalesce(string_agg(c.relname, ' ' ORDER BY c.relname), '') FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = '{schema}' AND c.relkind = 'r'"
        ))
    };
    (tables("turso2neon_previous"), tables("turso2neon_undo"))
}

#[test]
fn every_mode_does_what_its_dry_run_says() {
    let target = Target::start();
    let url = remote_url(&target);
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let modes = [
        ("auto", true, Action::Create),
        ("auto", true, Action::Diff),
        ("swap", true, Action::Swap),
        ("diff", false, Action::Diff),
        ("swap", false, Action::Swap),
        ("replace", true, Action::ReplaceRows),
        ("auto", true, Action::Nothing),
    ];
    for (version, (mode, keep_previous, action)) in (1..).zip(modes) {
        if action != Action::Nothing {
            fixture.refill(&shop_rows(version));
        }
        let request = PushRequest { mode: requested(mode), keep_previous, ..fixture.request(&url) };
        let (ctx, _) = fixture.context();
        if action == Action::Nothing {
            let dry = run(&ctx, &PushRequest { dry_run: true, ..request.clone() }).unwrap();
            assert_eq!(dry.plan.unwrap().action, action);
            assert!(run(&ctx, &request).unwrap().unchanged);
            continue;
        }
        let (dry, lines, real) = dry_and_real(&fixture, &request, &target);
        assert_eq!(dry, real, "{mode}");
        assert_eq!(dry.action, action, "{mode}");
        let (tables, rows) = kept_on(&target);
        let says = |text: &str| lines.iter().any(|line| line.contains(text));
        assert_eq!(matches!(dry.kept, Kept::Tables { .. }), !tables.is_empty(), "{mode}: {tables}");
        assert_eq!(matches!(dry.kept, Kept::Rows { .. }), !rows.is_empty(), "{mode}: {rows}");
        assert_eq!(says("would be kept in schema"), !tables.is_empty() || !rows.is_empty(), "{mode}: {lines:?}");
        if action == Action::ReplaceRows {
            assert!(says("nothing would be kept") && says("would be replaced, one table after the other"), "{lines:?}");
        }
        fixture.assert_equal(&target, "public");
    }
}

#[test]
fn a_replacement_of_another_structure_says_that_it_drops_the_tables() {
    let target = Target::start();
    let url = remote_url(&target);
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push(&url).0.unwrap();
    fixture.plan.tables[1].indexes.clear();
    fixture.refill(&shop_rows(2));
    let request = PushRequest { mode: requested("replace"), ..fixture.request(&url) };
    let (dry, lines, real) = dry_and_real(&fixture, &request, &target);
    assert_eq!((dry.action, &dry), (Action::DropAndCreate, &real));
    assert!(lines[0].contains("would be dropped") && lines.iter().any(|line| line.contains("nothing would be kept")));
    assert_eq!(kept_on(&target), (String::new(), String::new()));
}

#[test]
fn tables_that_leave_and_the_tables_kept_before_are_in_the_plan() {
    let target = Target::start();
    let url = remote_url(&target);
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push(&url).0.unwrap();
    fixture.refill(&shop_rows(2));
    fixture.push_in("swap", &url).0.unwrap();
    fixture.plan.tables.retain(|table| table.name != "empty");
    fixture.refill(&shop_rows(3));
    let request = fixture.request(&url);
    let (dry, _, real) = dry_and_real(&fixture, &request, &target);
    assert_eq!(dry, real);
    assert_eq!((dry.action, dry.leaving.as_slice()), (Action::Swap, &["empty".to_owned()][..]));
    assert!(dry.dropped.contains(&"empty".to_owned()) && dry.replaced.contains(&"empty".to_owned()), "{dry:?}");
}

#[test]
fn the_schema_alone_is_planned_without_rows() {
    let target = Target::start();
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let request = PushRequest { part: PushPart::Schema, ..fixture.request(&remote_url(&target)) };
    let (dry, lines, real) = dry_and_real(&fixture, &request, &target);
    assert_eq!((dry.rows(), &dry), (0, &real));
    assert!(lines[0].contains("4 tables with 0 rows"), "{lines:?}");
}
