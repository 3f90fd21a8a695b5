"""Copies all tables of a SQLite file to PostgreSQL by DuckDB, in the types that it chooses, without keys and indexes."""

import pathlib
import sys

import duckdb
import duckdb_extension_postgres_scanner
import duckdb_extension_sqlite_scanner

source, target = sys.argv[1:]
connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
for package in (duckdb_extension_sqlite_scanner, duckdb_extension_postgres_scanner):
    place = pathlib.Path(package.__file__).parent
    connection.execute(f"LOAD '{next(place.rglob('*.duckdb_extension'))}'")
connection.execute(f"ATTACH '{source}' AS source (TYPE sqlite)")
connection.execute(f"ATTACH '{target}' AS target (TYPE postgres)")
tables = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'source'"
for (name,) in connection.execute(tables).fetchall():
    connection.execute(f'CREATE TABLE target.public."{name}" AS SELECT * FROM source."{name}"')
