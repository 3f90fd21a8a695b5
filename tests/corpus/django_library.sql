-- A library as Django migrates it: "bool", "datetime" with microseconds, json_valid, content types, sessions.
CREATE TABLE "django_migrations" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "app" varchar(255) NOT NULL, "name" varchar(255) NOT NULL, "applied" datetime NOT NULL);
CREATE TABLE "django_content_type" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "app_label" varchar(100) NOT NULL, "model" varchar(100) NOT NULL);
CREATE UNIQUE INDEX "django_content_type_app_label_model_uniq" ON "django_content_type" ("app_label", "model");
CREATE TABLE "django_session" ("session_key" varchar(40) NOT NULL PRIMARY KEY, "session_data" text NOT NULL, "expire_date" datetime NOT NULL);
CREATE INDEX "django_session_expire_date_idx" ON "django_session" ("expire_date");
CREATE TABLE "auth_user" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "password" varchar(128) NOT NULL, "last_login" datetime NULL, "is_superuser" bool NOT NULL, "username" varchar(150) NOT NULL UNIQUE, "email" varchar(254) NOT NULL, "is_active" bool NOT NULL, "date_joined" datetime NOT NULL);
CREATE TABLE "library_author" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "name" varchar(200) NOT NULL, "born" date NULL, "site" varchar(200) NOT NULL);
CREATE TABLE "library_book" ("id" char(32) NOT NULL PRIMARY KEY, "title" varchar(300) NOT NULL, "isbn" varchar(13) NULL UNIQUE, "pages" smallint unsigned NULL CHECK ("pages" >= 0), "price" decimal NOT NULL, "data" text NOT NULL CHECK ((JSON_VALID("data") OR "data" IS NULL)), "published" date NOT NULL, "loan_period" bigint NOT NULL, "main_author_id" bigint NOT NULL REFERENCES "library_author" ("id") DEFERRABLE INITIALLY DEFERRED);
CREATE INDEX "library_book_main_author_id_idx" ON "library_book" ("main_author_id");
CREATE TABLE "library_book_authors" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "book_id" char(32) NOT NULL REFERENCES "library_book" ("id") DEFERRABLE INITIALLY DEFERRED, "author_id" bigint NOT NULL REFERENCES "library_author" ("id") DEFERRABLE INITIALLY DEFERRED);
CREATE UNIQUE INDEX "library_book_authors_uniq" ON "library_book_authors" ("book_id", "author_id");
CREATE TABLE "library_loan" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "taken" datetime NOT NULL, "due" time NULL, "returned" bool NULL, "book_id" char(32) NOT NULL REFERENCES "library_book" ("id") DEFERRABLE INITIALLY DEFERRED, "user_id" integer NOT NULL REFERENCES "auth_user" ("id") DEFERRABLE INITIALLY DEFERRED, "object_id" integer unsigned NOT NULL CHECK ("object_id" >= 0), "content_type_id" integer NULL REFERENCES "django_content_type" ("id") DEFERRABLE INITIALLY DEFERRED, CONSTRAINT "library_loan_book_or_object" CHECK (("book_id" <> '' OR "object_id" > 0)));
CREATE INDEX "library_loan_open_idx" ON "library_loan" ("book_id") WHERE "returned" IS NULL;
INSERT INTO "django_migrations"("app", "name", "applied") VALUES
  ('contenttypes', '0001_initial', '2024-02-01 09:00:00.104377'), ('auth', '0001_initial', '2024-02-01 09:00:00.241993'),
  ('library', '0001_initial', '2024-02-01 09:00:00.300000'), ('library', '0002_loan_due', '2024-05-20 17:41:12');
INSERT INTO "django_content_type"("app_label", "model") VALUES ('library', 'book'), ('library', 'author'), ('auth', 'user');
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25)
INSERT INTO "auth_user"("password", "last_login", "is_superuser", "username", "email", "is_active", "date_joined")
  SELECT 'pbkdf2_sha256$720000$salt' || i || '$' || hex(i * 7919), iif(i % 3, printf('2024-06-%02d 08:%02d:00.%06d', i, i, i * 37), NULL),
  i = 1, 'reader' || i, iif(i % 9, 'reader' || i || '@library.example', ''), i % 6 > 0, printf('2024-03-%02d 12:00:00', i) FROM n;
INSERT INTO "django_session" SELECT printf('%032x', id * 1048573), 'e30:' || username, '2024-07-01 00:00:00.000001' FROM "auth_user" WHERE id < 8;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30)
INSERT INTO "library_author"("name", "born", "site") SELECT 'Author ' || char(64 + i % 26) || ' Ödön ' || i, iif(i % 4, printf('19%02d-0%d-1%d', 20 + i, i % 9 + 1, i % 9), NULL), iif(i % 2, '', 'https://author' || i || '.example/') FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 80)
INSERT INTO "library_book" SELECT printf('%032x', i * 2654435761), 'The book of ' || i || ' tales', iif(i % 5, printf('978%010d', i * 131), NULL),
  iif(i % 7, 80 + i * 3, NULL), printf('%d.%02d', i, i % 100) + 0, json_object('tags', json_array('a', 'b' || i), 'rating', i / 10.0), printf('20%02d-1%d-0%d', i % 24, i % 3, i % 9 + 1),
  (i % 4 + 1) * 604800000000, i % 30 + 1 FROM n;
INSERT INTO "library_book_authors"("book_id", "author_id") SELECT id, main_author_id FROM "library_book" UNION SELECT id, main_author_id % 30 + 1 FROM "library_book" WHERE pages % 2;
INSERT INTO "library_loan"("taken", "due", "returned", "book_id", "user_id", "object_id", "content_type_id")
  SELECT '2024-06-10 10:11:12.123456', iif(rowid % 3, '18:30:00', NULL), iif(rowid % 4, rowid % 2, NULL), id, rowid % 25 + 1, rowid, iif(rowid % 2, 1, NULL) FROM "library_book";
