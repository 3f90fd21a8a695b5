//! libSQL's vector indexes on a PostgreSQL with pgvector.

use turso2neon::model::conversion_plan::Outcome;

use super::loaded::Loaded;
use crate::support::{PgVersion, Target};

#[test]
fn vector_indexes_become_hnsw_where_pgvector_has_one() {
    let script = "
        CREATE TABLE near(id INTEGER PRIMARY KEY, e F32_BLOB(3), l F32_BLOB(2));
        INSERT INTO near(e, l) VALUES (vector32('[1,0,0]'), vector32('[1,2]')), (vector32('[0,1,0]'), vector32('[3,4]')),
            (NULL, vector32('[9,9]'));
        CREATE INDEX by_e ON near(libsql_vector_idx(e)); CREATE INDEX by_l ON near(libsql_vector_idx(l, 'metric=l2'));
        CREATE TABLE loose(id INTEGER PRIMARY KEY, e F32_BLOB(3)); CREATE INDEX by_loose ON loose(libsql_vector_idx(e));
        CREATE TABLE wide(id INTEGER PRIMARY KEY, e F32_BLOB(2001)); CREATE INDEX by_wide ON wide(libsql_vector_idx(e));
        INSERT INTO wide(e) VALUES (vector32('[' || rtrim(replace(hex(zeroblob(2001)), '00', '1,'), ',') || ']'));
        INSERT INTO loose(e) VALUES (vector32('[1,2,3]')); DROP INDEX by_loose;
        UPDATE loose SET e = 'text'; CREATE INDEX by_loose_id ON loose(id);";
    let loaded = Loaded::plan_on(Target::start_on(PgVersion::Pgvector), script, "vector = \"on\"");
    loaded.convert();
    loaded.verify();
    let plan = loaded.stored_plan();
    let outcome = |name: &str| plan.objects.iter().find(|object| object.source == name).unwrap().outcome;
    assert_eq!((outcome("by_e"), outcome("by_l")), (Outcome::Carried, Outcome::Carried));
    assert_eq!(outcome("by_wide"), Outcome::NotCarried);
    let definition = "SELECT string_agg(indexdef, ';' ORDER BY indexname) FROM pg_indexes WHERE indexname LIKE 'by_%' \
                      AND indexname <> 'by_loose_id'";
    let found = loaded.local.value(definition);
    assert!(found.contains("hnsw (e ") && found.contains("vector_cosine_ops"), "{found}");
    assert!(found.contains("hnsw (l ") && found.contains("vector_l2_ops"), "{found}");
    assert_eq!(loaded.local.value("SELECT pg_typeof(e)::text FROM loose"), "text");
}
