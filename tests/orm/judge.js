// What the JavaScript applications share: the rows, the commands, and how findings are reported.
//
// An application is an object:
//   migrate(place)   makes the tables; `place` is { file } for SQLite or { url } for PostgreSQL
//   open(place)      gives a store: all, find, create, update, remove, link, linked, close
//   check(url)       reports what the mapper would change
//   tables           the names of the tables in the database
//   zoneless         properties whose values SQLite keeps in UTC and PostgreSQL in the zone of the process
const fs = require("node:fs");
const Database = require("libsql");
const { parse } = require("pg-connection-string");

let failures = 0;

function fail(message) {
  failures += 1;
  console.log(message);
}

function expect(condition, message) {
  if (!condition) fail(message);
}

const shown = (value) => JSON.stringify(value);

function equal(place, actual, expected) {
  if (shown(actual) !== shown(expected)) fail(`${place}: ${shown(actual)} instead of ${shown(expected)}`);
}

// The parts of a URL, as every driver takes them.
function connection(url) {
  const parts = parse(url);
  const { host, user, password, database } = parts;
  const authority = new URL(url).searchParams.get("sslrootcert");
  const ssl = authority ? { ca: fs.readFileSync(authority, "utf8") } : undefined;
  return { host, port: Number(parts.port), user, password, database, ...(ssl && { ssl }) };
}

// How the properties of a model are compared, whatever a mapper gives for them.
const KINDS = {
  number: (value) => Number(value),
  decimal: (value) => Number(value),
  bigint: (value) => String(value),
  boolean: (value) => (typeof value === "number" ? value === 1 : value),
  json: (value) => sorted(typeof value === "string" ? JSON.parse(value) : value),
  bytes: (value) => Buffer.from(value).toString("hex"),
  // A date without a time is midnight in the zone of the process where a driver has no better type.
  date: (value) => {
    if (!(value instanceof Date)) return value;
    const two = (number) => String(number).padStart(2, "0");
    return `${value.getFullYear()}-${two(value.getMonth() + 1)}-${two(value.getDate())}`;
  },
  time: (value) => {
    if (typeof value !== "string") return new Date(value).toISOString();
    const zone = /(Z|[+-]\d\d(:?\d\d)?)$/.exec(value)?.[1];
    if (!zone) value = `${value.replace(" ", "T")}Z`;
    return new Date(zone?.length === 3 ? `${value}:00` : value).toISOString();
  },
};

// jsonb has an order of its own.
function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}

const MODELS = {
  category: { id: "number", name: "text", parentId: "number" },
  label: { id: "number", name: "text" },
  product: {
    id: "text",
    sku: "text",
    name: "text",
    price: "decimal",
    weight: "number",
    stock: "number",
    attributes: "json",
    released: "date",
    categoryId: "number",
    changedAt: "time",
  },
  customer: {
    id: "number",
    email: "text",
    name: "text",
    level: "text",
    active: "boolean",
    newsletter: "boolean",
    balance: "decimal",
    settings: "json",
    avatar: "bytes",
    born: "date",
    visits: "bigint",
    seenAt: "time",
    createdAt: "time",
    note: "text",
  },
  order: {
    id: "number",
    customerId: "number",
    number: "number",
    reference: "text",
    placedAt: "time",
    total: "decimal",
  },
  orderLine: { id: "number", orderId: "number", productId: "text", quantity: "number" },
};

function canonical(model, row) {
  const one = ([property, kind]) => {
    const value = row[property];
    if (value === undefined || value === null) return [property, null];
    return [property, KINDS[kind] ? KINDS[kind](value) : value];
  };
  return Object.fromEntries(Object.entries(MODELS[model]).map(one));
}

const FIRST = "00112233-4455-6677-8899-aabbccddeeff";
const MOMENT = new Date("2024-03-10T07:30:00.123Z");

async function fill(store) {
  const create = (model, values) => store.create(model, values);
  const root = await create("category", { name: "Bücher" });
  const maps = await create("category", { name: "地図", parentId: root });
  const labels = [];
  for (const name of ["new", "rare", "it's \"quoted\" \\ 'text'"]) labels.push(await create("label", { name }));
  // The highest number was used and is free.
  await store.remove("label", await create("label", { name: "gone" }));
  await create("product", {
    id: FIRST,
    sku: "B-1",
    name: "Der Prozeß 📚\nline two\ttab",
    price: "12.50",
    weight: 0.1,
    stock: 7,
    attributes: { b: 1, a: [1.5, null, true, "ü"], deep: { x: {} } },
    released: "1925-04-26",
    categoryId: root,
  });
  const second = await create("product", {
    sku: "M-1",
    name: "Map",
    price: "0.05",
    attributes: {},
    categoryId: maps,
  });
  const third = await create("product", {
    sku: "M-2",
    name: "",
    price: "9999999999.99",
    weight: -1e300,
    attributes: [],
    categoryId: maps,
  });
  // A time that the application sets, in a column whose default SQLite computes.
  await store.update("product", second, { changedAt: new Date("2024-05-05T05:05:05.005Z") });
  for (const label of labels) await store.link(FIRST, label);
  await store.link(second, labels[0]);
  const ann = await create("customer", {
    email: "ann@example.org",
    name: "Ännchen O'Neill",
    level: "gold",
    newsletter: true,
    balance: "-10.50",
    settings: { theme: "dark", sizes: [1, 2.5] },
    avatar: Buffer.from(Array.from({ length: 256 }, (_, index) => index)),
    born: "1990-01-31",
    visits: 9007199254740991,
    seenAt: new Date("2024-07-01T12:00:00.001Z"),
    note: "",
  });
  const bob = await create("customer", {
    email: "bob@example.org",
    name: "Bob",
    active: false,
    newsletter: false,
    settings: [],
    avatar: Buffer.alloc(0),
    seenAt: new Date("2024-01-01T00:00:00Z"),
  });
  await create("customer", { email: "nul@example.org", name: "Nobody" });
  const order = await create("order", {
    customerId: ann,
    number: 1,
    reference: "ffeeddcc-bbaa-4988-b766-554433221100",
    placedAt: MOMENT,
    total: "25.1234",
  });
  const later = await create("order", {
    customerId: ann,
    number: 2,
    placedAt: new Date("2024-11-03T06:30:00Z"),
    total: "0",
  });
  await create("order", { customerId: bob, number: 1, placedAt: new Date("1999-12-31T23:00:00Z"), total: "1" });
  await create("orderLine", { orderId: order, productId: FIRST, quantity: 2 });
  await create("orderLine", { orderId: order, productId: second });
  await create("orderLine", { orderId: later, productId: third, quantity: -1 });
}

// The rows of every model by their keys, and the labels of every product.
async function content(store) {
  const answer = {};
  for (const model of Object.keys(MODELS)) {
    const rows = (await store.all(model)).map((row) => canonical(model, row));
    answer[model] = Object.fromEntries(rows.map((row) => [row.id, row]));
  }
  answer.links = {};
  for (const id of Object.keys(answer.product)) {
    answer.links[id] = { labels: (await store.linked(id)).map(Number).sort((a, b) => a - b) };
  }
  return answer;
}

function compare(actual, expected, moved = () => undefined) {
  for (const [model, rows] of Object.entries(expected)) {
    for (const id of Object.keys(actual[model])) expect(id in rows, `${model} ${id}: the row is not in SQLite`);
    for (const [id, row] of Object.entries(rows)) {
      const found = actual[model][id];
      if (!found) {
        fail(`${model} ${id}: the row is missing`);
        continue;
      }
      for (const [property, value] of Object.entries(row)) {
        equal(`${model} ${id} ${property}`, found[property], moved(model, property, value) ?? value);
      }
    }
  }
}

// The number that SQLite gives to the next row.
function nextNumber(file, table) {
  const database = new Database(file, { readonly: true });
  const highest = database.prepare(`SELECT coalesce(max(id), 0) AS n FROM "${table}"`).get().n;
  const counters = database.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'sqlite_sequence'").get().n;
  const counter = counters && database.prepare("SELECT max(seq) AS n FROM sqlite_sequence WHERE name = ?").get(table).n;
  database.close();
  return Math.max(highest, counter ?? 0) + 1;
}

async function using(store, file, app) {
  const moment = new Date("2025-07-01T12:00:00.001Z");
  const found = async (model, where, property, expected) => {
    const rows = await store.find(model, where);
    equal(`${model} by ${Object.keys(where)}`, rows.map((row) => row[property]), [expected]);
  };
  // Queries that need the right types.
  await found("customer", { level: "gold" }, "email", "ann@example.org");
  await found("customer", { active: false }, "email", "bob@example.org");
  await found("customer", { born: "1990-01-31" }, "email", "ann@example.org");
  await found("order", { placedAt: MOMENT }, "number", 1);
  await found("order", { reference: "ffeeddcc-bbaa-4988-b766-554433221100" }, "number", 1);
  await found("product", { id: FIRST }, "sku", "B-1");

  // One new row of each model.
  const made = {};
  const create = async (model, values) => {
    const id = await store.create(model, values);
    made[model] = id;
    if (MODELS[model].id === "number") {
      equal(`next number of ${model}`, Number(id), nextNumber(file, app.tables[model]));
    }
    const row = (await store.find(model, { id }))[0];
    equal(`created ${model}`, subset(canonical(model, row), values), subset(canonical(model, values), values));
    return { id, row };
  };
  const category = await create("category", { name: "new" });
  const child = await store.create("category", { name: "child", parentId: category.id });
  equal("next number of a child", Number(child), Number(category.id) + 1);
  const label = await create("label", { name: "brand new" });
  const product = await create("product", {
    sku: "new",
    name: "ñ",
    price: "1.10",
    weight: 1.5,
    attributes: { k: [1] },
    released: "2025-02-28",
    categoryId: child,
  });
  expect(/^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(product.id), `the new product has the key ${product.id}`);
  equal("stock of a new product", product.row.stock, 0);
  await store.link(product.id, label.id);
  equal("labels of a new product", (await store.linked(product.id)).map(Number), [Number(label.id)]);
  const customer = await create("customer", {
    email: "new@example.org",
    name: "New",
    balance: "3.07",
    newsletter: false,
    settings: { a: null },
    avatar: Buffer.from([0, 1]),
    born: "2000-12-31",
    visits: 5000000000,
    seenAt: moment,
  });
  equal("defaults of a customer", [customer.row.active, customer.row.level, customer.row.note], [true, "basic", null]);
  // The default of such a column is in the zone of the server.
  const zone = (app.zoneless ?? []).includes("customer.createdAt") ? new Date().getTimezoneOffset() * 60_000 : 0;
  const age = Date.now() + zone - new Date(customer.row.createdAt).getTime();
  expect(Math.abs(age) < 60_000, `createdAt of a new customer is ${shown(customer.row.createdAt)}`);
  const order = await create("order", {
    customerId: customer.id,
    number: 9,
    reference: "11111111-2222-4333-8444-555555555555",
    placedAt: moment,
    total: "1.5",
  });
  await create("orderLine", { orderId: order.id, productId: product.id });

  // Change, read back.
  const update = async (model, id, values) => {
    await store.update(model, id, values);
    const row = (await store.find(model, { id }))[0];
    equal(`changed ${model}`, subset(canonical(model, row), values), subset(canonical(model, values), values));
  };
  await update("category", child, { name: "other", parentId: null });
  await update("label", label.id, { name: "other" });
  await update("product", product.id, { attributes: [], price: "2.00", stock: 4, released: null });
  await update("customer", customer.id, { active: false, level: "gold", settings: null, avatar: null, seenAt: null });
  await update("order", order.id, { placedAt: MOMENT, total: "7.1234", reference: null });
  await update("orderLine", made.orderLine, { quantity: 5 });

  // What SQLite refuses is refused here too.
  const refused = async (what, model, values) => {
    try {
      await store.create(model, values);
    } catch {
      return;
    }
    fail(`${what} is accepted`);
  };
  await refused("a second order with one number", "order", {
    customerId: customer.id,
    number: 9,
    placedAt: moment,
    total: "1",
  });
  await refused("a second customer with one address", "customer", { email: "ann@example.org", name: "x" });
  await refused("a line of no order", "orderLine", { orderId: 999999, productId: product.id });

  for (const model of ["orderLine", "order", "customer", "product", "label"]) await store.remove(model, made[model]);
  await store.remove("category", child);
  await store.remove("category", category.id);
  const left = await store.find("category", { id: child });
  equal("a deleted category", left.length, 0);
}

const subset = (row, values) => Object.fromEntries(Object.keys(values).map((key) => [key, row[key]]));

// A time that SQLite keeps in UTC, read as a time of the zone of the process.
function moved(app) {
  return (model, property, value) => {
    if (value === null || !(app.zoneless ?? []).includes(`${model}.${property}`)) return undefined;
    return new Date(value.slice(0, -1)).toISOString();
  };
}

const commands = {
  async sqlite(app, file) {
    await app.migrate({ file });
    const store = await app.open({ file });
    await fill(store);
    await store.close();
  },
  async postgres(app, url) {
    await app.migrate({ url });
  },
  // The rows as the mapper itself carries them.
  async copy(app, url, file) {
    const from = await app.open({ file });
    const to = await app.open({ url });
    for (const model of Object.keys(MODELS)) {
      for (const row of (await from.all(model)).sort((a, b) => (a.id < b.id ? -1 : 1))) {
        const values = canonical(model, row);
        for (const [property, kind] of Object.entries(MODELS[model])) {
          if (values[property] === null) continue;
          if (kind === "time") values[property] = new Date(values[property]);
          if (kind === "bytes") values[property] = Buffer.from(values[property], "hex");
        }
        await to.create(model, values);
      }
    }
    for (const { id } of await from.all("product")) for (const label of await from.linked(id)) await to.link(id, label);
    await from.close();
    await to.close();
    const client = new (require("pg").Client)(connection(url));
    await client.connect();
    for (const [model, table] of Object.entries(app.tables)) {
      if (MODELS[model].id !== "number") continue;
      const next = [`"${table}"`, nextNumber(file, table)];
      await client.query("SELECT setval(pg_get_serial_sequence($1, 'id'), $2, false)", next);
    }
    await client.end();
  },
  async check(app, url) {
    await app.check(url);
  },
  async use(app, url, file) {
    const source = await app.open({ file });
    const expected = await content(source);
    await source.close();
    const store = await app.open({ url });
    const before = await content(store);
    compare(before, expected, moved(app));
    await using(store, file, app);
    const after = await content(store);
    compare(after, before);
    await store.close();
  },
};

async function main(app) {
  const [name, ...rest] = process.argv.slice(2);
  if (!commands[name]) {
    console.error(`usage: ${Object.keys(commands).join(" | ")}`);
    process.exit(1);
  }
  try {
    await commands[name](app, ...rest);
  } catch (cause) {
    console.error(cause);
    fail(`${name}: ${cause.message}`);
  }
  process.exit(failures ? 1 : 0);
}

module.exports = { connection, equal, expect, fail, main };
