-- Keys and references: compound, deferred, circular, onto unique columns, with orphans, folded and partial uniqueness.
CREATE TABLE country(code TEXT PRIMARY KEY COLLATE NOCASE, name TEXT UNIQUE) WITHOUT ROWID;
CREATE TABLE city(country TEXT NOT NULL REFERENCES country, name TEXT NOT NULL, zip TEXT, mayor INTEGER REFERENCES person(id) DEFERRABLE INITIALLY DEFERRED, PRIMARY KEY(country, name), UNIQUE(zip, country));
CREATE TABLE person(id INTEGER PRIMARY KEY AUTOINCREMENT, nick TEXT UNIQUE COLLATE NOCASE, country TEXT, city TEXT, boss INTEGER REFERENCES person ON UPDATE CASCADE ON DELETE SET NULL, badge INT UNIQUE, FOREIGN KEY(country, city) REFERENCES city(country, name) ON UPDATE CASCADE);
CREATE TABLE phone(person INTEGER REFERENCES person(id), number TEXT, kind TEXT DEFAULT 'home', UNIQUE(person, number) ON CONFLICT REPLACE);
CREATE TABLE badge_use(badge INTEGER NOT NULL REFERENCES person(badge) ON DELETE CASCADE, day TEXT NOT NULL, uses INTEGER DEFAULT 0, PRIMARY KEY(badge, day) ON CONFLICT IGNORE);
CREATE TABLE setting(name TEXT PRIMARY KEY, value);
CREATE TABLE tag(id INT PRIMARY KEY, label TEXT NOT NULL COLLATE RTRIM UNIQUE);
CREATE TABLE person_tag(person INTEGER NOT NULL, tag INT NOT NULL, PRIMARY KEY(person, tag), FOREIGN KEY(person) REFERENCES person(id), FOREIGN KEY(tag) REFERENCES tag(id)) WITHOUT ROWID;
CREATE UNIQUE INDEX one_boss ON person(country) WHERE boss IS NULL AND country IS NOT NULL AND badge IS NULL;
CREATE INDEX person_place ON person(country COLLATE NOCASE, city DESC);
CREATE INDEX person_sorted ON person(lower(nick), id);
CREATE INDEX phone_digits ON phone(replace(number, ' ', ''));
INSERT INTO country VALUES ('DE', 'Germany'), ('fr', 'France'), ('CH', NULL), ('AT', NULL);
INSERT INTO city VALUES ('DE', 'Ulm', '89073', NULL), ('DE', 'Köln', '50667', NULL), ('fr', 'Lyon', NULL, NULL), ('CH', 'Bern', NULL, NULL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
INSERT INTO person(nick, country, city, boss, badge) SELECT iif(i % 10, 'Nick' || i, NULL), iif(i % 4, 'DE', NULL), iif(i % 4, iif(i % 2, 'Ulm', 'Köln'), NULL), iif(i > 1, i / 2, NULL), i * 11 FROM n;
UPDATE city SET mayor = 3 WHERE name = 'Ulm';
INSERT INTO phone SELECT id, printf('+49 %d %d', id, id * 4711), iif(id % 3, 'home', 'work') FROM person;
INSERT INTO phone VALUES (NULL, '110', NULL), (NULL, '110', NULL);
INSERT INTO badge_use SELECT badge, '2024-06-' || printf('%02d', id % 28 + 1), id % 5 FROM person;
INSERT INTO setting VALUES ('answer', 42), ('pi', 3.14), ('motto', 'text'), (NULL, 'a null key'), (NULL, 'another');
INSERT INTO tag VALUES (1, 'red'), (2, 'green'), (3, 'blue');
PRAGMA foreign_keys = off;
INSERT INTO person_tag SELECT id, id % 3 + 1 FROM person;
INSERT INTO person_tag VALUES (999, 1), (1, 77);
DELETE FROM person WHERE id = 60;
