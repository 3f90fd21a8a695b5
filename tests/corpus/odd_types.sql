-- What SQLite takes and other databases don't: mixed classes, unusual declarations and names, limits of numbers.
CREATE TABLE anything(a, b BLOB, c INTEGER, d TEXT, e REAL, f NUMERIC);
INSERT INTO anything VALUES (1, x'00ff', 1, 'text', 1.5, 1), ('one', 'text in a blob column', 'not a number', '', 1e308, 1.25),
  (NULL, NULL, NULL, NULL, NULL, NULL), (x'', x'', 9223372036854775807, x'deadbeef', -0.0, '007'), (2.5, 7, -9223372036854775808, 'tab' || char(9) || 'line' || char(10), 9e999, 9007199254740993);
CREATE TABLE declared(id BIGINT PRIMARY KEY, tiny TINYINT, unsigned UNSIGNED BIG INT, dec DECIMAL(12, 4), num NUMERIC(3), dbl DOUBLE PRECISION, ch CHARACTER(5), nv NVARCHAR(30), cl CLOB, bo BOOLEAN, bi BIT, da DATE, dt DATETIME, ts TIMESTAMP, ti TIME, uu UUID, js JSON, mo MONEY, po POINT, yr YEAR, en ENUM);
INSERT INTO declared VALUES (1, 127, 18446744073709551615, 12345678.1234, 999, 3.141592653589793, 'abcde', 'naïve', 'long', 1, 0, '2024-02-29', '2024-02-29 23:59:59', '2024-02-29T23:59:59Z', '23:59', '123e4567-e89b-12d3-a456-426614174000', '{"a":[1,2,{"b":null}]}', 10.99, 'POINT(1 2)', 2024, 'small'),
  (2, 300, 0, 0.1, 12.5, 2, 'longer than five', '', '', 'true', 1, '29.02.2024', 1709251199, 1709251199123, '7:05 pm', 'not a uuid', '[]', '$5', x'01', '99', NULL),
  (-3, -129, NULL, NULL, NULL, 1e-320, NULL, NULL, NULL, 'no', 2, NULL, '0000-00-00 00:00:00', NULL, '24:00', NULL, NULL, NULL, NULL, NULL, 'large');
CREATE TABLE exact(id INTEGER PRIMARY KEY, i INT NOT NULL, r REAL, t TEXT, b BLOB, a ANY) STRICT;
INSERT INTO exact VALUES (1, 5, 1.0, 'x', x'01', 'any'), (2, -5, 2.5, NULL, NULL, 7), (3, 0, NULL, '', x'', x'0a');
CREATE TABLE computed(w INTEGER, h INTEGER, area INTEGER GENERATED ALWAYS AS (w * h) STORED, label TEXT AS (w || ' x ' || h) VIRTUAL, CHECK(w > 0));
INSERT INTO computed(w, h) VALUES (1, 2), (30, 40), (7, NULL);
CREATE TABLE "two words ""quoted"" Ünïcode"("select" INTEGER, "Column" TEXT, "column 2" TEXT, [brackets] TEXT, `back``tick` TEXT, "a name that is longer than the sixty-three bytes that PostgreSQL keeps" TEXT);
INSERT INTO "two words ""quoted"" Ünïcode" VALUES (1, 'a', 'b', 'c', 'd', 'e'), (NULL, '''', '"', '\', '%', '日本語');
CREATE INDEX "an index of ""that"" table" ON "two words ""quoted"" Ünïcode"("Column", "column 2");
CREATE TABLE empty(words TEXT DEFAULT ('x' || 'y'), later DATETIME DEFAULT (datetime('now', '+1 day')), roll INTEGER DEFAULT (abs(random()) % 6));
CREATE TABLE moments(id INTEGER PRIMARY KEY, seconds INTEGER, millis INTEGER, micros INTEGER, julian REAL, text TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
INSERT INTO moments SELECT i, 1700000000 + i, 1700000000000 + i * 7, 1700000000000000 + i, 2460263.5 + i / 24.0, strftime('%Y-%m-%dT%H:%M:%fZ', 1700000000 + i * 999, 'unixepoch') FROM n;
