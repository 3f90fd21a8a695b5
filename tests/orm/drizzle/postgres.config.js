const { connection } = require("../judge.js");

module.exports = {
  dialect: "postgresql",
  schema: "./schema.postgres.js",
  out: process.env.DRIZZLE_OUT ?? "./migrations/postgres",
  ...(process.env.DRIZZLE_URL && { dbCredentials: { ssl: false, ...connection(process.env.DRIZZLE_URL) } }),
};
