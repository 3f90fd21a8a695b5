//! What the loader has loaded, verified: two readings of the same conversions meet.

use turso2neon::{
    model::TablePlan,
    postgres::{
        Session,
        managed::{LocalChoice, LocalServer},
    },
    stages::{
        convert::{ConvertRequest, convert},
        plan::Planned,
        verify::{self, Against, Verified, VerifyLevel, VerifyRequest},
    },
    workdir::sha256_of,
};

use super::{
    corruption::{SOURCE, shop_tables},
    fixture::{LOCAL_SCHEMA, Prepared, TARGET_SCHEMA, lines, on_two_threads},
    kinds::every_kind,
    random::{self, Rng},
};
use crate::support::fixture::sqlite;

fn prepared(source: &str, tables: Vec<TablePlan>) -> Prepared {
    Prepared::new(|path| sqlite(path, source), tables)
}

/// Loads into a managed PostgreSQL.
fn load(prepared: &Prepared) {
    let sha256 = sha256_of(&prepared.ctx.workdir.plan_json()).unwrap();
    let planned = Planned { plan: prepared.plan.clone(), sha256, unchanged: false };
    let request = ConvertRequest::default();
    on_two_threads(Box::pin(convert(&prepared.ctx, &request, &prepared.dump, planned))).unwrap();
}

fn verified(prepared: &Prepared, level: VerifyLevel) -> Verified {
    let request = VerifyRequest {
        against: Against::Local,
        level,
        tables: Vec::new(),
        target: None,
        schema: TARGET_SCHEMA.to_owned(),
        local: LocalChoice::default(),
    };
    on_two_threads(Box::pin(verify::verify(&prepared.ctx, &request))).unwrap()
}

/// Runs SQL on the managed PostgreSQL.
fn change(prepared: &Prepared, sql: &str) {
    let record = prepared.ctx.workdir.load_convert().unwrap().local;
    on_two_threads(async {
        let server = LocalServer::open_loaded(&prepared.ctx, &LocalChoice::default(), &record).await.unwrap();
        let session = Session::connect(server.endpoint()).await.unwrap();
        session.batch("changing", &sql.replace("{s}", LOCAL_SCHEMA)).await.unwrap();
        drop(session);
        server.close().await.unwrap();
    });
}

fn assert_equal(prepared: &Prepared) {
    for level in [VerifyLevel::Counts, VerifyLevel::Digest, VerifyLevel::Full] {
        let verified = verified(prepared, level);
        assert_eq!(lines(&verified), Vec::<String>::new(), "{level:?}");
        assert!(verified.tables.iter().all(|verdict| verdict.equal));
    }
}

fn discard(prepared: &Prepared) {
    on_two_threads(LocalServer::discard(&prepared.ctx.workdir)).unwrap();
}

#[test]
fn every_conversion_is_loaded_as_verification_reads_it() {
    let (source, plan, _) = every_kind();
    let prepared = prepared(&source, vec![plan]);
    load(&prepared);
    assert_equal(&prepared);
    change(&prepared, "UPDATE {s}.kinds SET c0 = c0 + 1 WHERE id = 5");
    assert_eq!(lines(&verified(&prepared, VerifyLevel::Full)), ["local kinds.c0 [rowid 5]: value differs"]);
    assert_eq!(lines(&verified(&prepared, VerifyLevel::Digest)), ["local kinds: digest differs"]);
    discard(&prepared);
}

#[test]
fn keys_checks_sequences_and_the_offtype_table_are_loaded_as_planned() {
    let prepared = prepared(SOURCE, shop_tables());
    load(&prepared);
    assert_equal(&prepared);
    change(&prepared, "DELETE FROM {s}._sqlite_offtype WHERE row_key = '2'");
    assert_eq!(lines(&verified(&prepared, VerifyLevel::Full)), ["local items.mixed [rowid 2]: off-type row missing"]);
    discard(&prepared);
}

#[test]
fn random_rows_are_loaded_as_verification_reads_them() {
    let (prepared, _) = random::prepared(&mut Rng::seeded());
    load(&prepared);
    assert_equal(&prepared);
    discard(&prepared);
}
