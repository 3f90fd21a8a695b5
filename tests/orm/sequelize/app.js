// A shop with Sequelize.
const { DataTypes, Sequelize } = require("sequelize");
const judge = require("../judge.js");

function connect({ file, url }) {
  const options = { logging: false, define: { underscored: true } };
  const dialectModule = require("./sqlite3.js");
  if (file) return new Sequelize({ ...options, dialect: "sqlite", dialectModule, storage: file });
  const { ssl, user, ...parts } = judge.connection(url);
  return new Sequelize({ ...options, ...parts, dialect: "postgres", username: user, dialectOptions: { ssl } });
}

const id = { type: DataTypes.INTEGER, primaryKey: true, autoIncrement: true };

function define(db) {
  const plain = { timestamps: false };
  const name = (length) => ({ type: DataTypes.STRING(length), allowNull: false, unique: true });
  const category = db.define("Category", { id, name: name(80) }, plain);
  const label = db.define("Label", { id, name: name(40) }, plain);
  const product = db.define(
    "Product",
    {
      id: { type: DataTypes.UUID, primaryKey: true, defaultValue: DataTypes.UUIDV4 },
      sku: { type: DataTypes.STRING(20), allowNull: false, unique: true },
      name: { type: DataTypes.TEXT, allowNull: false },
      price: { type: DataTypes.DECIMAL(12, 2), allowNull: false },
      weight: DataTypes.DOUBLE,
      stock: { type: DataTypes.INTEGER, allowNull: false, defaultValue: 0 },
      attributes: { type: DataTypes.JSONB, allowNull: false },
      released: DataTypes.DATEONLY,
    },
    { createdAt: false, updatedAt: "changedAt", indexes: [{ fields: ["category_id", "released"] }] },
  );
  const customer = db.define(
    "Customer",
    {
      id,
      email: { type: DataTypes.STRING, allowNull: false, unique: true },
      name: { type: DataTypes.STRING(100), allowNull: false },
      level: { type: DataTypes.ENUM("basic", "gold"), allowNull: false, defaultValue: "basic" },
      active: { type: DataTypes.BOOLEAN, allowNull: false, defaultValue: true },
      newsletter: DataTypes.BOOLEAN,
      balance: { type: DataTypes.DECIMAL(12, 2), allowNull: false, defaultValue: 0 },
      settings: DataTypes.JSON,
      avatar: DataTypes.BLOB,
      born: DataTypes.DATEONLY,
      visits: { type: DataTypes.BIGINT, allowNull: false, defaultValue: 0 },
      seenAt: DataTypes.DATE,
      note: DataTypes.TEXT,
    },
    { updatedAt: false },
  );
  const order = db.define(
    "Order",
    {
      id,
      number: { type: DataTypes.INTEGER, allowNull: false },
      reference: { type: DataTypes.UUID, unique: true },
      placedAt: { type: DataTypes.DATE, allowNull: false },
      total: { type: DataTypes.DECIMAL(10, 4), allowNull: false },
    },
    { timestamps: false, indexes: [{ unique: true, fields: ["customer_id", "number"] }] },
  );
  const orderLine = db.define(
    "OrderLine",
    { id, quantity: { type: DataTypes.INTEGER, allowNull: false, defaultValue: 1 } },
    plain,
  );
  const required = (name, onDelete) => ({ foreignKey: { name, allowNull: false }, onDelete });
  category.belongsTo(category, { as: "parent", foreignKey: "parentId" });
  product.belongsTo(category, required("categoryId", "RESTRICT"));
  product.belongsToMany(label, { through: "product_labels", timestamps: false });
  label.belongsToMany(product, { through: "product_labels", timestamps: false });
  order.belongsTo(customer, required("customerId", "CASCADE"));
  orderLine.belongsTo(order, required("orderId", "CASCADE"));
  orderLine.belongsTo(product, required("productId", "RESTRICT"));
  return { category, label, product, customer, order, orderLine };
}

// What a column has to be in PostgreSQL, as describeTable says it.
function described(attribute) {
  const type = attribute.type.toSql().toUpperCase();
  const names = {
    DATETIME: "TIMESTAMP WITH TIME ZONE",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP WITH TIME ZONE",
    BLOB: "BYTEA",
    DOUBLE: "DOUBLE PRECISION",
    ENUM: "USER-DEFINED",
  };
  if (type.startsWith("VARCHAR")) return type.replace("VARCHAR", "CHARACTER VARYING");
  return names[type] ?? type.replace(/^DECIMAL.*/, "NUMERIC");
}

const app = {
  tables: {
    category: "categories",
    label: "labels",
    product: "products",
    customer: "customers",
    order: "orders",
    orderLine: "order_lines",
  },
  async migrate(place) {
    const db = connect(place);
    define(db);
    await db.sync();
    await db.close();
  },
  async open(place) {
    const db = connect(place);
    const models = define(db);
    const plain = (rows) => rows.map((row) => row.get({ plain: true }));
    return {
      all: async (model) => plain(await models[model].findAll()),
      find: async (model, where) => plain(await models[model].findAll({ where })),
      // Sequelize sets the time of a change itself, unless it is silent.
      create: async (model, values) => (await models[model].create(values, { silent: "changedAt" in values })).id,
      update: (model, id, values) => models[model].update(values, { where: { id } }),
      remove: (model, id) => models[model].destroy({ where: { id } }),
      link: async (product, label) => (await models.product.findByPk(product)).addLabel(label),
      linked: async (product) => (await (await models.product.findByPk(product)).getLabels()).map((row) => row.id),
      close: () => db.close(),
    };
  },
  async check(url) {
    const db = connect({ url });
    const models = define(db);
    const catalog = async () => {
      const [rows] = await db.query(
        `SELECT relname || '.' || attname AS place, format_type(atttypid, atttypmod) AS type, attnotnull,
           pg_get_expr(adbin, adrelid) AS default
         FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
           LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
         WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1`,
      );
      return rows;
    };
    const same = async (when) => {
      const after = await catalog();
      before.forEach((column, index) => judge.equal(`${column.place} after ${when}`, after[index], column));
      judge.equal(`the number of columns after ${when}`, after.length, before.length);
    };
    const before = await catalog();
    await db.sync();
    await same("sync");
    const interface = db.getQueryInterface();
    for (const model of Object.values(models)) {
      const columns = await interface.describeTable(model.getTableName());
      for (const attribute of Object.values(model.getAttributes())) {
        const column = columns[attribute.field];
        const place = `${model.name}.${attribute.field}`;
        if (!column) {
          judge.fail(`${place}: there is no such column`);
          continue;
        }
        judge.equal(`${place}: type`, column.type.replace(/\(\d+,\d+\)/, ""), described(attribute));
        judge.equal(`${place}: nullable`, column.allowNull, attribute.allowNull !== false && !attribute.primaryKey);
        judge.equal(`${place}: primary key`, column.primaryKey, attribute.primaryKey === true);
        judge.equal(`${place}: counts`, /^nextval/.test(column.defaultValue), attribute.autoIncrement === true);
      }
      const names = Object.values(model.getAttributes()).map((attribute) => attribute.field);
      judge.equal(`${model.name}: columns`, Object.keys(columns).sort(), names.sort());
    }
    // Altered again and again the types stay what they are.
    await db.sync({ alter: true });
    await same("sync with alter");
    await db.close();
  },
};

judge.main(app);
