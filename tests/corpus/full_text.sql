-- Notes with full-text search: an FTS5 table with external content and its triggers, one with own content, an R*Tree.
CREATE TABLE note(id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, body TEXT NOT NULL, tags TEXT CHECK(tags IS NULL OR json_valid(tags)), changed INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER)));
CREATE VIRTUAL TABLE note_fts USING fts5(title, body, content='note', content_rowid='id', tokenize='porter unicode61');
CREATE TRIGGER note_ai AFTER INSERT ON note BEGIN INSERT INTO note_fts(rowid, title, body) VALUES (new.id, new.title, new.body); END;
CREATE TRIGGER note_ad AFTER DELETE ON note BEGIN INSERT INTO note_fts(note_fts, rowid, title, body) VALUES ('delete', old.id, old.title, old.body); END;
CREATE TRIGGER note_au AFTER UPDATE ON note BEGIN INSERT INTO note_fts(note_fts, rowid, title, body) VALUES ('delete', old.id, old.title, old.body); INSERT INTO note_fts(rowid, title, body) VALUES (new.id, new.title, new.body); END;
CREATE VIRTUAL TABLE mail USING fts5(subject, sender UNINDEXED, text);
CREATE VIRTUAL TABLE place USING rtree(id, min_x, max_x, min_y, max_y);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120)
INSERT INTO note(title, body, tags, changed) SELECT 'Note ' || i, 'Running water ' || i || ' and the café near the harbour, café ' || (i % 9), iif(i % 5, json_array('t' || (i % 7)), NULL), 1700000000 + i FROM n;
UPDATE note SET body = body || ' — changed' WHERE id % 10 = 0;
DELETE FROM note WHERE id % 50 = 0;
INSERT INTO mail VALUES ('Hello', 'one@mail.example', 'How are you?'), ('Re: Hello', 'two@mail.example', 'Fine; and you?'), ('', NULL, 'no subject');
INSERT INTO place VALUES (1, 0, 1, 0, 1), (2, -3.5, 4.25, 10, 11), (7, 100, 200, 100, 200);
