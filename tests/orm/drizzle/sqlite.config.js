module.exports = {
  dialect: "sqlite",
  schema: "./schema.sqlite.js",
  out: "./migrations/sqlite",
};
