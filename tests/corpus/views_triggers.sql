-- Accounts with an audit trail: views on views, a recursive view, window functions, triggers of each kind.
CREATE TABLE account(id INTEGER PRIMARY KEY, owner TEXT NOT NULL, parent INTEGER REFERENCES account(id), opened TEXT NOT NULL DEFAULT CURRENT_DATE);
CREATE TABLE entry(id INTEGER PRIMARY KEY, account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE, amount INTEGER NOT NULL CHECK(amount <> 0), booked TEXT NOT NULL, label TEXT);
CREATE TABLE audit(id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT NOT NULL, entry INTEGER, before INTEGER, after INTEGER, at TEXT DEFAULT (datetime('now')));
CREATE TABLE total(account INTEGER PRIMARY KEY, amount INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX entry_by_month ON entry(account, substr(booked, 1, 7));
CREATE VIEW balance AS SELECT account, sum(amount) AS amount, count(*) AS entries, min(booked) AS first, max(booked) AS last FROM entry GROUP BY account;
CREATE VIEW rich AS SELECT a.owner, b.amount FROM account a JOIN balance b ON b.account = a.id WHERE b.amount > 1000 ORDER BY b.amount DESC;
CREATE VIEW statement AS SELECT id, account, amount, sum(amount) OVER (PARTITION BY account ORDER BY booked, id) AS running FROM entry;
CREATE VIEW tree(id, owner, depth) AS WITH RECURSIVE t(id, owner, depth) AS (SELECT id, owner, 0 FROM account WHERE parent IS NULL UNION ALL SELECT a.id, a.owner, t.depth + 1 FROM account a JOIN t ON a.parent = t.id) SELECT id, owner, depth FROM t;
CREATE VIEW monthly AS SELECT strftime('%Y-%m', booked) AS month, CASE WHEN sum(amount) < 0 THEN 'loss' ELSE 'gain' END AS kind, total(amount) AS amount, group_concat(DISTINCT account) AS accounts FROM entry GROUP BY 1;
CREATE VIEW labelled AS SELECT id, coalesce(nullif(trim(label), ''), 'entry ' || id) AS label, abs(amount) AS amount, upper(substr(label, 1, 1)) AS letter FROM entry WHERE label LIKE 'r%' OR label IS NULL;
CREATE VIEW accounts_for_change AS SELECT id, owner FROM account;
CREATE TRIGGER entry_added AFTER INSERT ON entry BEGIN INSERT INTO audit(what, entry, after) VALUES ('insert', NEW.id, NEW.amount); INSERT INTO total(account, amount) VALUES (NEW.account, NEW.amount) ON CONFLICT(account) DO UPDATE SET amount = amount + excluded.amount; END;
CREATE TRIGGER entry_changed AFTER UPDATE OF amount ON entry WHEN OLD.amount <> NEW.amount BEGIN INSERT INTO audit(what, entry, before, after) VALUES ('update', NEW.id, OLD.amount, NEW.amount); UPDATE total SET amount = amount + NEW.amount - OLD.amount WHERE account = NEW.account; END;
CREATE TRIGGER entry_removed BEFORE DELETE ON entry BEGIN UPDATE total SET amount = amount - OLD.amount WHERE account = OLD.account; END;
CREATE TRIGGER no_own_parent BEFORE UPDATE OF parent ON account WHEN NEW.parent = NEW.id BEGIN SELECT RAISE(ABORT, 'an account is not its own parent'); END;
CREATE TRIGGER rename_account INSTEAD OF UPDATE OF owner ON accounts_for_change BEGIN UPDATE account SET owner = NEW.owner WHERE id = OLD.id; END;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)
INSERT INTO account SELECT i, 'Owner ' || i, iif(i > 3, i / 3, NULL), printf('2023-%02d-15', i % 12 + 1) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
INSERT INTO entry SELECT i, i % 20 + 1, (i * 37) % 500 - 251, printf('2024-%02d-%02d', i % 12 + 1, i % 28 + 1), CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN 'rent ' WHEN 2 THEN '' ELSE 'salary' END FROM n WHERE (i * 37) % 500 <> 251;
UPDATE entry SET amount = amount * 2 WHERE id % 25 = 0;
DELETE FROM entry WHERE id % 40 = 0;
