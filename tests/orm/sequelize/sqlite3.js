// The part of the interface of the module sqlite3 that Sequelize uses, on libSQL's module.
const Libsql = require("libsql");

const plain = (value) => (typeof value === "boolean" ? Number(value) : (value ?? null));

function bound(parameters) {
  if (Array.isArray(parameters)) return parameters.map(plain);
  return Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name.slice(1), plain(value)]));
}

class Database {
  constructor(file, _mode, ready) {
    this.connection = new Libsql(file);
    this.filename = file;
    process.nextTick(ready, null);
  }

  serialize(action) {
    action();
  }

  run(sql, parameters, done) {
    this.execute("run", sql, parameters, done);
  }

  all(sql, parameters, done) {
    this.execute("all", sql, parameters, done);
  }

  execute(method, sql, parameters, done) {
    if (typeof parameters === "function") [parameters, done] = [[], parameters];
    let answer;
    let context = {};
    let failure = null;
    try {
      const statement = this.connection.prepare(sql);
      const values = bound(parameters ?? []);
      answer = Object.keys(values).length ? statement[method](values) : statement[method]();
      if (method === "run") context = { lastID: answer.lastInsertRowid, changes: answer.changes };
    } catch (cause) {
      failure = cause;
    }
    process.nextTick(() => done?.call(context, failure, answer));
  }

  close(done) {
    this.connection.close();
    process.nextTick(done, null);
  }
}

module.exports = { Database, OPEN_READONLY: 1, OPEN_READWRITE: 2, OPEN_CREATE: 4 };
