//! Builds the sample database, a shop as it grows over years: epochs beside text dates, booleans as integers, JSON,
//! pictures, vectors, keys of every kind, rows whose parents were deleted, numbers that were never reused.
//! Deterministic: the same size gives the same bytes. Shared by the tests and by `examples/sample_db.rs`, so it uses
//! nothing else of this crate.

mod values;

use values::{ADJECTIVES, CITIES, COUNTRIES, FIRST_NAMES, LAST_NAMES, NOUNS, SampleRng, at, number, pick, text};

/// One value, in SQLite's storage classes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL.
    Real(f64),
    /// TEXT.
    Text(String),
    /// BLOB.
    Blob(Vec<u8>),
}

/// One statement with its parameters. To be run in order, with foreign keys off: some rows have no parent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// The statement.
    pub(crate) sql: String,
    /// Its parameters.
    pub(crate) values: Vec<Value>,
}

/// The tables with their rows at `percent` of the full size, which is 100,000 rows.
pub(crate) fn tables(percent: u32) -> Vec<(&'static str, u32)> {
    TABLES.iter().map(|table| (table.name, table.fixed + table.per_percent * percent)).collect()
}

/// Everything that makes the sample database, in order.
pub(crate) fn steps(percent: u32) -> impl Iterator<Item = Step> {
    let schema = TABLES.iter().map(|table| plain(table.ddl));
    let rows = TABLES.iter().flat_map(move |table| inserts(table, percent));
    schema.chain(rows).chain(AFTERMATH.iter().map(|sql| plain(sql)))
}

struct Table {
    name: &'static str,
    ddl: &'static str,
    columns: &'static str,
    fixed: u32,
    per_percent: u32,
    row: fn(u64, &Sizes, &mut SampleRng) -> Vec<Value>,
}

/// How many rows the referenced tables have.
struct Sizes {
    customers: u64,
    products: u64,
    orders: u64,
}

/// Rows per INSERT: large enough that a remote server isn't asked a hundred thousand times.
const BATCH: u64 = 200;

const TABLES: &[Table] = &[
    Table {
        name: "countries",
        ddl: "CREATE TABLE countries (code TEXT COLLATE NOCASE PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID",
        columns: "code, name",
        fixed: 25,
        per_percent: 0,
        row: |n, _, _| vec![text(COUNTRIES[at(n)].0), text(COUNTRIES[at(n)].1)],
    },
    Table {
        name: "warehouses",
        ddl: "CREATE TABLE warehouses (id INTEGER PRIMARY KEY, city TEXT NOT NULL, latitude REAL, longitude REAL)",
        columns: "id, city, latitude, longitude",
        fixed: 5,
        per_percent: 0,
        row: |n, _, rng| {
            vec![
                number(n + 1),
                text(pick(&CITIES, n)),
                Value::Real(rng.real(35.0, 60.0)),
                Value::Real(rng.real(-10.0, 25.0)),
            ]
        },
    },
    Table {
        name: "categories",
        ddl: "CREATE TABLE categories (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES categories(id), \
              name TEXT NOT NULL, slug TEXT NOT NULL UNIQUE, position INTEGER NOT NULL DEFAULT 0)",
        columns: "id, parent_id, name, slug, position",
        fixed: 70,
        per_percent: 0,
        row: |n, _, _| {
            let parent = if n < 7 { Value::Null } else { number((n % 7) + 1) };
            let name = pick(&NOUNS, n);
            vec![number(n + 1), parent, text(name), text(&format!("{}-{n}", name.to_lowercase())), number(n % 10)]
        },
    },
    Table {
        name: "customers",
        ddl: "CREATE TABLE customers (id INTEGER PRIMARY KEY AUTOINCREMENT, \
              email TEXT NOT NULL COLLATE NOCASE UNIQUE, name VARCHAR(120) NOT NULL, \
              country TEXT COLLATE NOCASE REFERENCES countries(code), is_active BOOLEAN NOT NULL DEFAULT 1, \
              public_id TEXT NOT NULL, birthday TEXT, preferences JSON NOT NULL DEFAULT '{}', \
              created_at INTEGER NOT NULL)",
        columns: "id, email, name, country, is_active, public_id, birthday, preferences, created_at",
        fixed: 0,
        per_percent: 80,
        row: customer,
    },
    Table {
        name: "addresses",
        ddl: "CREATE TABLE addresses (customer_id INTEGER NOT NULL REFERENCES customers(id) ON DELETE CASCADE, \
              kind TEXT NOT NULL CHECK (kind IN ('home', 'work')), street TEXT NOT NULL, city TEXT NOT NULL, \
              postcode INTEGER, PRIMARY KEY (customer_id, kind))",
        columns: "customer_id, kind, street, city, postcode",
        fixed: 0,
        per_percent: 100,
        row: address,
    },
    Table {
        name: "products",
        ddl: "CREATE TABLE products (id INTEGER PRIMARY KEY, sku TEXT NOT NULL UNIQUE, name TEXT NOT NULL, \
              price DECIMAL(10,2) NOT NULL, weight_kg REAL, attributes JSON, picture BLOB, embedding F32_BLOB(8), \
              discontinued BOOLEAN NOT NULL DEFAULT 0, updated_ms INTEGER NOT NULL)",
        columns: "id, sku, name, price, weight_kg, attributes, picture, embedding, discontinued, updated_ms",
        fixed: 0,
        per_percent: 20,
        row: product,
    },
    Table {
        name: "product_categories",
        ddl: "CREATE TABLE product_categories (product_id INTEGER NOT NULL REFERENCES products(id), \
              category_id INTEGER NOT NULL REFERENCES categories(id), PRIMARY KEY (category_id, product_id)) WITHOUT ROWID",
        columns: "product_id, category_id",
        fixed: 0,
        per_percent: 40,
        row: |n, sizes, _| vec![number(n % sizes.products + 1), number((n / sizes.products * 31 + n) % 70 + 1)],
    },
    Table {
        name: "stock",
        ddl: "CREATE TABLE stock (product_id INTEGER NOT NULL REFERENCES products(id), \
              warehouse_id INTEGER NOT NULL REFERENCES warehouses(id), on_hand INTEGER NOT NULL CHECK (on_hand >= 0), \
              counted_on DATE, PRIMARY KEY (product_id, warehouse_id))",
        columns: "product_id, warehouse_id, on_hand, counted_on",
        fixed: 0,
        per_percent: 60,
        row: |n, sizes, rng| {
            let counted = if rng.one_in(6) { Value::Null } else { text(&rng.date(2024, 2)) };
            vec![number(n % sizes.products + 1), number(n / sizes.products + 1), number(rng.below(500)), counted]
        },
    },
    Table {
        name: "orders",
        ddl: "CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, \
              customer_id INTEGER NOT NULL REFERENCES customers(id) ON DELETE CASCADE, \
              status TEXT NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'paid', 'sent', 'returned')), \
              gift BOOLEAN NOT NULL DEFAULT 0, note TEXT, placed_at INTEGER NOT NULL, \
              changed_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)",
        columns: "id, customer_id, status, gift, note, placed_at, changed_at",
        fixed: 0,
        per_percent: 150,
        row: order,
    },
    Table {
        name: "order_items",
        ddl: "CREATE TABLE order_items (order_id INTEGER NOT NULL REFERENCES orders(id) ON DELETE CASCADE, \
              line INTEGER NOT NULL, product_id INTEGER NOT NULL REFERENCES products(id), \
              quantity INTEGER NOT NULL CHECK (quantity > 0), unit_cents INTEGER NOT NULL, \
              total_cents INTEGER GENERATED ALWAYS AS (quantity * unit_cents) STORED, PRIMARY KEY (order_id, line))",
        columns: "order_id, line, product_id, quantity, unit_cents",
        fixed: 0,
        per_percent: 400,
        row: |n, sizes, rng| {
            let product = number(rng.below(sizes.products) + 1);
            vec![
                number(n % sizes.orders + 1),
                number(n / sizes.orders + 1),
                product,
                number(rng.below(5) + 1),
                number(rng.below(30_000) + 99),
            ]
        },
    },
    Table {
        name: "payments",
        ddl: "CREATE TABLE payments (id TEXT PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders(id), \
              amount NUMERIC(12,2) NOT NULL, fee TEXT NOT NULL, paid_at DATETIME NOT NULL, refunded_at DATETIME, receipt BLOB)",
        columns: "id, order_id, amount, fee, paid_at, refunded_at, receipt",
        fixed: 0,
        per_percent: 100,
        row: payment,
    },
    Table {
        name: "reviews",
        ddl: "CREATE TABLE reviews (id INTEGER PRIMARY KEY, product_id INTEGER NOT NULL REFERENCES products(id), \
              customer_id INTEGER REFERENCES customers(id) ON DELETE SET NULL, \
              stars INTEGER NOT NULL CHECK (stars BETWEEN 1 AND 5), title TEXT, body TEXT NOT NULL, \
              written_at TIMESTAMP NOT NULL)",
        columns: "id, product_id, customer_id, stars, title, body, written_at",
        fixed: 0,
        per_percent: 30,
        row: review,
    },
    Table {
        name: "sessions",
        ddl: "CREATE TABLE sessions (key BLOB PRIMARY KEY, customer_id INTEGER REFERENCES customers(id), \
              agent TEXT, expires_at INTEGER NOT NULL)",
        columns: "key, customer_id, agent, expires_at",
        fixed: 0,
        per_percent: 10,
        row: |_, sizes, rng| {
            let customer = if rng.one_in(5) { Value::Null } else { number(rng.below(sizes.customers) + 1) };
            vec![Value::Blob(rng.bytes(16)), customer, text("Mozilla/5.0"), Value::Integer(rng.second())]
        },
    },
    Table {
        name: "events",
        ddl: "CREATE TABLE events (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, payload JSON, score FLOAT, happened_ms INTEGER NOT NULL)",
        columns: "id, kind, payload, score, happened_ms",
        fixed: 0,
        per_percent: 9,
        row: |n, _, rng| {
            let payload = format!(r#"{{"n":{n},"tags":["{}","{}"],"deep":{{"ok":true}}}}"#, rng.word(), rng.word());
            // Ids as a distributed generator makes them: beyond what a float holds exactly.
            let id = Value::Integer(7_205_759_403_792_793_600 + i64::try_from(n * 4096 + 1).unwrap_or(0));
            vec![
                id,
                text(rng.word()),
                text(&payload),
                Value::Real(rng.real(-1.0, 1.0)),
                Value::Integer(rng.second() * 1000 + 123),
            ]
        },
    },
];

/// What happened to the sample database after it was filled, and everything that reads it.
const AFTERMATH: &[&str] = &[
    "INSERT INTO orders (customer_id, placed_at) SELECT 1, 1735689600 FROM categories LIMIT 12",
    "DELETE FROM orders WHERE id > (SELECT max(order_id) FROM order_items)",
    "UPDATE reviews SET product_id = product_id + 900000 WHERE id IN (3, 14, 25)",
    "CREATE INDEX customers_by_name ON customers (name COLLATE NOCASE, id DESC)",
    "CREATE INDEX customers_by_age ON customers (birthday) WHERE birthday IS NOT NULL",
    "CREATE INDEX products_on_sale ON products (price) WHERE discontinued = 0",
    "CREATE INDEX products_by_vector ON products (libsql_vector_idx(embedding))",
    "CREATE INDEX orders_by_customer ON orders (customer_id, placed_at)",
    "CREATE INDEX order_items_by_product ON order_items (product_id)",
    "CREATE INDEX payments_by_order ON payments (order_id)",
    "CREATE INDEX events_by_kind ON events (lower(kind))",
    "CREATE VIEW active_customers AS SELECT id, name, email FROM customers WHERE is_active = 1",
    "CREATE VIEW order_totals AS SELECT o.id, o.status, sum(i.total_cents) AS total_cents FROM orders o \
     JOIN order_items i ON i.order_id = o.id GROUP BY o.id, o.status",
    "CREATE TRIGGER orders_changed AFTER UPDATE OF status ON orders BEGIN \
     UPDATE orders SET changed_at = CURRENT_TIMESTAMP WHERE id = NEW.id; END",
];

fn customer(n: u64, _: &Sizes, rng: &mut SampleRng) -> Vec<Value> {
    let (first, last) = (pick(&FIRST_NAMES, rng.next()), pick(&LAST_NAMES, rng.next()));
    let email = format!("{first}.{last}{n}@Example.com");
    let country = if rng.one_in(20) { Value::Null } else { text(COUNTRIES[at(rng.below(25))].0) };
    let birthday = if rng.one_in(3) { Value::Null } else { text(&rng.date(1950, 55)) };
    let preferences = if rng.one_in(4) {
        "{}".to_owned()
    } else {
        format!(r#"{{"newsletter": {}, "theme": "{}"}}"#, rng.one_in(2), if rng.one_in(2) { "dark" } else { "light" })
    };
    let active = number(u64::from(!rng.one_in(9)));
    let (id, created) = (rng.uuid(), Value::Integer(rng.second()));
    vec![
        number(n + 1),
        text(&email),
        text(&format!("{first} {last}")),
        country,
        active,
        id,
        birthday,
        text(&preferences),
        created,
    ]
}

fn address(n: u64, sizes: &Sizes, rng: &mut SampleRng) -> Vec<Value> {
    let kind = if n < sizes.customers { "home" } else { "work" };
    let street = format!("{} {} Street", rng.below(300) + 1, pick(&NOUNS, rng.next()));
    // Declared INTEGER by somebody who knew no British postcodes.
    let postcode = match rng.below(10) {
        0 => Value::Null,
        1 | 2 => text(&format!("SW{}A {}AA", rng.below(19) + 1, rng.below(9) + 1)),
        _ => number(rng.below(90_000) + 10_000),
    };
    vec![number(n % sizes.customers + 1), text(kind), text(&street), text(pick(&CITIES, rng.next())), postcode]
}

fn product(n: u64, _: &Sizes, rng: &mut SampleRng) -> Vec<Value> {
    let name = format!("{} {}", pick(&ADJECTIVES, rng.next()), pick(&NOUNS, rng.next()));
    let cents = u32::try_from(rng.below(20_000) + 50).unwrap_or(50);
    let price = Value::Real(f64::from(cents) / 100.0);
    let weight = if rng.one_in(8) { Value::Null } else { Value::Real(rng.real(0.01, 40.0)) };
    let attributes = if rng.one_in(5) {
        Value::Null
    } else {
        text(&format!(
            r#"{{"colour":"{}","sizes":[{},{}],"färbig":"größer ✓"}}"#,
            pick(&ADJECTIVES, rng.next()),
            rng.below(9),
            rng.below(99)
        ))
    };
    let size = usize::try_from(200 + rng.below(1800)).unwrap_or(200);
    let picture = if rng.one_in(4) { Value::Blob(rng.bytes(size)) } else { Value::Null };
    let vector = (0..8).flat_map(|_| rng.single().to_le_bytes()).collect();
    let discontinued = number(u64::from(rng.one_in(7)));
    let updated = Value::Integer(rng.second() * 1000 + i64::try_from(rng.below(1000)).unwrap_or(0));
    vec![
        number(n + 1),
        text(&format!("SKU-{:06}", n + 1)),
        text(&name),
        price,
        weight,
        attributes,
        picture,
        Value::Blob(vector),
        discontinued,
        updated,
    ]
}

fn order(n: u64, sizes: &Sizes, rng: &mut SampleRng) -> Vec<Value> {
    let status = pick(&["new", "paid", "sent", "returned"], rng.next());
    let note = match rng.below(12) {
        0 => text(""),
        1 => text("leave at the door;\n\"ring\" twice, it's loud \\ 🐈"),
        2 => text(&format!("\t{}  ", rng.word())),
        _ => Value::Null,
    };
    let changed = rng.timestamp(" ");
    let customer = number(rng.below(sizes.customers) + 1);
    vec![
        number(n + 1),
        customer,
        text(status),
        number(u64::from(rng.one_in(10))),
        note,
        Value::Integer(rng.second()),
        text(&changed),
    ]
}

fn payment(_: u64, sizes: &Sizes, rng: &mut SampleRng) -> Vec<Value> {
    let cents = u32::try_from(rng.below(900_000) + 100).unwrap_or(100);
    let fee = format!("{}.{:04}", rng.below(40), rng.below(10_000));
    let refunded = if rng.one_in(12) { text(&rng.timestamp(" ")) } else { Value::Null };
    let receipt = if rng.one_in(3) { Value::Blob(rng.bytes(64)) } else { Value::Null };
    let (id, order) = (rng.uuid(), number(rng.below(sizes.orders) + 1));
    vec![id, order, Value::Real(f64::from(cents) / 100.0), text(&fee), text(&rng.timestamp(" ")), refunded, receipt]
}

fn review(n: u64, sizes: &Sizes, rng: &mut SampleRng) -> Vec<Value> {
    let customer = if rng.one_in(10) { Value::Null } else { number(rng.below(sizes.customers) + 1) };
    let title = if rng.one_in(3) { Value::Null } else { text(rng.word()) };
    let words = 3 + rng.below(40);
    let body = (0..words).map(|_| rng.word()).collect::<Vec<_>>().join(" ");
    let written = format!("{}Z", rng.timestamp("T"));
    vec![
        number(n + 1),
        number(rng.below(sizes.products) + 1),
        customer,
        number(rng.below(5) + 1),
        title,
        text(&body),
        text(&written),
    ]
}

fn inserts(table: &'static Table, percent: u32) -> impl Iterator<Item = Step> {
    let rows = u64::from(table.fixed + table.per_percent * percent);
    let percent = u64::from(percent);
    let sizes = Sizes { customers: 80 * percent, products: 20 * percent, orders: 150 * percent };
    let mut rng = SampleRng(table.name.bytes().fold(0, |seed, byte| seed.wrapping_mul(31) + u64::from(byte)));
    let width = table.columns.split(',').count();
    (0..rows.div_ceil(BATCH)).map(move |batch| {
        let range = batch * BATCH..rows.min((batch + 1) * BATCH);
        let row = format!("({})", vec!["?"; width].join(","));
        let marks = vec![row.as_str(); range.clone().count()].join(",");
        let values = range.flat_map(|n| (table.row)(n, &sizes, &mut rng)).collect();
        Step { sql: format!("INSERT INTO {} ({}) VALUES {marks}", table.name, table.columns), values }
    })
}

fn plain(sql: &str) -> Step {
    Step { sql: sql.to_owned(), values: Vec::new() }
}
