-- A subscription service as Prisma migrates it: quoted camel case, cuid keys, milliseconds, implicit relation tables.
CREATE TABLE "_prisma_migrations" (
    "id"                    TEXT PRIMARY KEY NOT NULL,
    "checksum"              TEXT NOT NULL,
    "finished_at"           DATETIME,
    "migration_name"        TEXT NOT NULL,
    "logs"                  TEXT,
    "rolled_back_at"        DATETIME,
    "started_at"            DATETIME NOT NULL DEFAULT current_timestamp,
    "applied_steps_count"   INTEGER UNSIGNED NOT NULL DEFAULT 0
);
CREATE TABLE "User" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "email" TEXT NOT NULL,
    "emailVerified" DATETIME,
    "role" TEXT NOT NULL DEFAULT 'MEMBER',
    "isBlocked" BOOLEAN NOT NULL DEFAULT false,
    "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" DATETIME NOT NULL
);
CREATE TABLE "Account" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "userId" TEXT NOT NULL,
    "provider" TEXT NOT NULL,
    "providerAccountId" TEXT NOT NULL,
    "refreshToken" TEXT,
    "expiresAt" INTEGER,
    CONSTRAINT "Account_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE TABLE "Team" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "name" TEXT NOT NULL,
    "seats" BIGINT NOT NULL DEFAULT 1,
    "balance" DECIMAL NOT NULL DEFAULT 0,
    "ownerId" TEXT,
    "logo" BLOB,
    "meta" JSONB,
    CONSTRAINT "Team_ownerId_fkey" FOREIGN KEY ("ownerId") REFERENCES "User" ("id") ON DELETE SET NULL ON UPDATE CASCADE
);
CREATE TABLE "Invoice" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "teamId" TEXT NOT NULL,
    "number" TEXT NOT NULL,
    "amount" REAL NOT NULL,
    "paidAt" DATETIME,
    CONSTRAINT "Invoice_teamId_fkey" FOREIGN KEY ("teamId") REFERENCES "Team" ("id") ON DELETE RESTRICT ON UPDATE CASCADE
);
CREATE TABLE "_TeamToUser" (
    "A" TEXT NOT NULL,
    "B" TEXT NOT NULL,
    CONSTRAINT "_TeamToUser_A_fkey" FOREIGN KEY ("A") REFERENCES "Team" ("id") ON DELETE CASCADE ON UPDATE CASCADE,
    CONSTRAINT "_TeamToUser_B_fkey" FOREIGN KEY ("B") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX "User_email_key" ON "User"("email");
CREATE UNIQUE INDEX "Account_provider_providerAccountId_key" ON "Account"("provider", "providerAccountId");
CREATE UNIQUE INDEX "Invoice_teamId_number_key" ON "Invoice"("teamId", "number");
CREATE INDEX "Invoice_paidAt_idx" ON "Invoice"("paidAt" DESC);
CREATE UNIQUE INDEX "_TeamToUser_AB_unique" ON "_TeamToUser"("A", "B");
CREATE INDEX "_TeamToUser_B_index" ON "_TeamToUser"("B");
INSERT INTO "_prisma_migrations" VALUES
    ('5b0d8c1e-0001-4f6e-9a61-1a2b3c4d5e6f', 'c0ffee01', 1718000000123, '20240610061320_init', NULL, NULL, 1718000000100, 1),
    ('5b0d8c1e-0002-4f6e-9a61-1a2b3c4d5e6f', 'c0ffee02', 1719000000456, '20240621200000_teams', NULL, NULL, 1719000000400, 1);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 45)
INSERT INTO "User" SELECT printf('clx%022d', i), 'user' || i || '@saas.example', iif(i % 3, 1718000000000 + i * 86400123, NULL),
    CASE WHEN i = 1 THEN 'ADMIN' ELSE 'MEMBER' END, i % 20 = 0, 1718000000000 + i * 1001, 1719500000000 + i FROM n;
INSERT INTO "Account" SELECT 'acc' || substr("id", 4), "id", iif(rowid % 2, 'github', 'google'), rowid * 1000003, iif(rowid % 4, NULL, 'token-' || rowid), 1720000000 + rowid FROM "User";
INSERT INTO "Team" SELECT printf('tm%023d', rowid), 'Team ' || rowid, rowid * 3000000000, rowid * 12.5, iif(rowid % 5, "id", NULL), iif(rowid % 2, NULL, x'ffd8ffe0'), iif(rowid % 3, NULL, '{"plan":"pro","seats":' || rowid || '}') FROM "User" WHERE rowid <= 12;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 90)
INSERT INTO "Invoice"("teamId", "number", "amount", "paidAt") SELECT printf('tm%023d', i % 12 + 1), printf('2024-%04d', i), i * 19.99, iif(i % 6, 1719600000000 + i * 3600000, NULL) FROM n;
INSERT INTO "_TeamToUser" SELECT t."id", u."id" FROM "Team" t JOIN "User" u ON (t.rowid + u.rowid) % 6 = 0;
