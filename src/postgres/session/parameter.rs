//! Values of queries whose PostgreSQL type is known beforehand: such a query takes one round trip, while one whose
//! types the server has to be asked for takes two.

use tokio_postgres::types::{ToSql, Type};

/// A value for a query.
pub trait Parameter: ToSql + Sync {
    /// Its type on the server.
    fn pg_type(&self) -> Type;

    /// What the driver takes.
    fn as_sql(&self) -> &(dyn ToSql + Sync);
}

macro_rules! parameters {
    ($($rust:ty => $sql:ident),+ $(,)?) => {
        $(impl Parameter for $rust {
            fn pg_type(&self) -> Type {
                Type::$sql
            }

            fn as_sql(&self) -> &(dyn ToSql + Sync) {
                self
            }
        })+
    };
}

parameters! {
    &str => TEXT,
    &&str => TEXT,
    String => TEXT,
    &String => TEXT,
    i32 => INT4,
    i64 => INT8,
    Vec<&str> => TEXT_ARRAY,
    Vec<String> => TEXT_ARRAY,
    &Vec<String> => TEXT_ARRAY,
    &[&str] => TEXT_ARRAY,
    &[String] => TEXT_ARRAY,
    &[i32] => INT4_ARRAY,
    Vec<i64> => INT8_ARRAY,
    Vec<u32> => OID_ARRAY,
    &Vec<u32> => OID_ARRAY,
    &[u32] => OID_ARRAY,
    &&[u32] => OID_ARRAY,
}
