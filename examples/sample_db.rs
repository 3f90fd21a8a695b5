//! Fills a libSQL server with the sample database of the tests, through Turso's own client.
//!
//! `TURSO_DATABASE_URL=http://... TURSO_AUTH_TOKEN=... cargo run --example sample_db [PERCENT|counts|change]`; 100
//! percent are 100,000 rows in 14 tables. `counts` prints how many rows each table has. `change` changes one row.
#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a script for demonstrations, not part of the tool"
)]

#[path = "../tests/it/support/sample_db/mod.rs"]
mod sample_db;

use std::error::Error;

use libsql::{Connection, Value, params_from_iter};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("TURSO_DATABASE_URL")?;
    let token = std::env::var("TURSO_AUTH_TOKEN")?;
    let argument = std::env::args().nth(1);
    // Without its TLS feature the client needs a connector; the demonstration's server is on loopback.
    let connector = hyper::client::HttpConnector::new();
    let database = libsql::Builder::new_remote(url, token).connector(connector).build().await?;
    let connection = database.connect()?;
    match argument.as_deref() {
        Some("counts") => return counts(&connection).await,
        Some("change") => return change(&connection).await,
        Some(_) | None => {}
    }
    let percent = argument.map_or(Ok(100), |argument| argument.parse())?;
    fill(&connection, percent).await?;
    let tables = sample_db::tables(percent);
    let rows: u32 = tables.iter().map(|(_, rows)| rows).sum();
    println!("the source holds {} tables with {rows} rows", tables.len());
    Ok(())
}

/// The whole shop in one transaction, so that a failure leaves nothing.
async fn fill(connection: &Connection, percent: u32) -> Result<(), libsql::Error> {
    // In one request: the server forgets the setting with the stream, and the stream ends outside a transaction.
    connection.execute_batch("PRAGMA foreign_keys = OFF; BEGIN").await?;
    for step in sample_db::steps(percent) {
        let values: Vec<Value> = step.values.into_iter().map(client_value).collect();
        connection.execute(&step.sql, params_from_iter(values)).await?;
    }
    connection.execute("COMMIT", ()).await?;
    Ok(())
}

/// One line per table: its name, a tab, its rows.
async fn counts(connection: &Connection) -> Result<(), Box<dyn Error>> {
    for (table, _) in sample_db::tables(1) {
        let mut rows = connection.query(&format!("SELECT count(*) FROM {table} NOT INDEXED"), ()).await?;
        let row = rows.next().await?.ok_or("no answer")?;
        println!("{table}\t{}", row.get::<i64>(0)?);
    }
    Ok(())
}

/// Changes one row, as an application would.
async fn change(connection: &Connection) -> Result<(), Box<dyn Error>> {
    let rows = connection.execute("UPDATE customers SET is_active = 1 - is_active WHERE id = 1", ()).await?;
    println!("changed {rows} row of customers");
    Ok(())
}

fn client_value(value: sample_db::Value) -> Value {
    match value {
        sample_db::Value::Null => Value::Null,
        sample_db::Value::Integer(number) => Value::Integer(number),
        sample_db::Value::Real(number) => Value::Real(number),
        sample_db::Value::Text(text) => Value::Text(text),
        sample_db::Value::Blob(bytes) => Value::Blob(bytes),
    }
}
