-- Documents with embeddings in libSQL's vector types, and its vector index.
CREATE TABLE document(id INTEGER PRIMARY KEY, title TEXT NOT NULL, embedding F32_BLOB(4), weights F64_BLOB(3));
CREATE INDEX document_embedding ON document(libsql_vector_idx(embedding));
CREATE TABLE chunk(document INTEGER NOT NULL REFERENCES document(id) ON DELETE CASCADE, position INTEGER NOT NULL, text TEXT NOT NULL, embedding F32_BLOB(4) NOT NULL, PRIMARY KEY(document, position));
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
INSERT INTO document SELECT i, 'Document ' || i, iif(i % 9, vector32('[' || i || ', 0.5, -' || i || '.25, 0]'), NULL), vector64('[1, ' || i || ', 0.1]') FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 90)
INSERT INTO chunk SELECT i % 40 + 1, i, 'Part ' || i, vector32('[0, ' || i || ', 1, 2]') FROM n;
