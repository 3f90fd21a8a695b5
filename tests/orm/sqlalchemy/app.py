"""A shop with SQLAlchemy and Alembic: `sqlite FILE`, `postgres URL`, `copy URL FILE`, `check URL`, `use URL FILE`."""

import datetime
import io
import pathlib
import sys
import uuid
from decimal import Decimal

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent))

import alembic.command
import alembic.config
import alembic.util
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, event, func, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

import judge
from models import Base, Category, Customer, Label, Level, Order, OrderLine, Product, product_label

UTC = datetime.timezone.utc


def sqlite(file):
    engine = create_engine(f"sqlite:///{file}")
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys=ON"))
    return engine


def postgres(url):
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


def with_alembic(engine, action):
    config = alembic.config.Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(HERE))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        action(config)


def migrate(engine):
    with_alembic(engine, lambda config: alembic.command.upgrade(config, "head"))


def command_sqlite(file):
    engine = sqlite(file)
    migrate(engine)
    with Session(engine) as session:
        fill(session)
        session.commit()


def command_postgres(url):
    migrate(postgres(url))


def command_copy(url, file):
    with sqlite(file).connect() as source, postgres(url).begin() as target:
        for table in Base.metadata.sorted_tables:
            for row in source.execute(select(table).order_by(*table.primary_key)).mappings():
                values = {
                    name: value.replace(tzinfo=UTC) if aware(table.c[name]) and value else value
                    for name, value in row.items()
                }
                target.execute(insert(table).values(values))
            if numbered(table):
                sql = text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :next, false)")
                target.execute(sql, {"name": f'"{table.name}"', "next": next_number(table, source)})


def fill(session):
    root = Category(name="Bücher")
    child = Category(name="地図", parent=root)
    labels = [Label(name=name) for name in ("new", "rare", "it's \"quoted\" \\ 'text'")]
    first = Product(
        id=uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"),
        sku="B-1",
        name="Der Prozeß 📚\nline two\ttab",
        price=Decimal("12.50"),
        weight=0.1,
        stock=7,
        attributes={"b": 1, "a": [1.5, None, True, "ü"], "deep": {"x": {}}},
        released=datetime.date(1925, 4, 26),
        category=root,
        labels=labels,
    )
    # A JSON null, which is not the NULL of a column that is left out.
    second = Product(sku="M-1", name="Map", price=Decimal("0.05"), attributes=None, category=child, labels=labels[:1])
    third = Product(sku="M-2", name="", price=Decimal("9999999999.99"), weight=-1e300, attributes=[], category=child)
    ann = Customer(
        email="ann@example.org",
        name="Ännchen O'Neill",
        level=Level.gold,
        newsletter=True,
        avatar=bytes(range(256)),
        opens_at=datetime.time(8, 30, 0, 250000),
        born=datetime.date(1990, 1, 31),
        visits=2**62 + 1,
        seen_at=datetime.datetime(2024, 3, 10, 2, 30, 0, 1),
        note="",
    )
    bob = Customer(email="bob@example.org", name="Bob", active=False, newsletter=False, avatar=b"")
    nobody = Customer(email="nul@example.org", name="Nobody")
    session.add_all([root, child, *labels, first, second, third, ann, bob, nobody])
    session.flush()
    order = Order(
        customer=ann,
        number=1,
        reference=uuid.uuid4(),
        placed_at=datetime.datetime(2024, 3, 10, 7, 30, 0, 123456, UTC),
        takes=datetime.timedelta(days=400, hours=3, microseconds=7),
        total=Decimal("25.1234"),
    )
    later = Order(
        customer=ann,
        number=2,
        placed_at=datetime.datetime(2024, 11, 3, 6, 30, tzinfo=UTC),
        takes=-datetime.timedelta(seconds=90),
        total=Decimal("0"),
    )
    early = Order(
        customer=bob, number=1, placed_at=datetime.datetime(1969, 12, 31, 23, 0, tzinfo=UTC), total=Decimal("1")
    )
    order.lines = [OrderLine(position=1, product=first, quantity=2), OrderLine(position=2, product=second)]
    later.lines = [OrderLine(position=1, product=third, quantity=-1)]
    session.add_all([order, later, early])
    # The highest number was used and is free: the next one is past it.
    gone = Label(name="gone")
    session.add(gone)
    session.flush()
    session.delete(gone)


def command_check(url):
    engine = postgres(url)
    try:
        with_alembic(engine, alembic.command.check)
    except alembic.util.CommandError as cause:
        judge.fail(f"alembic check: {cause}")
    with engine.connect() as connection:
        before = MigrationContext.configure(connection).get_current_heads()
    statements = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    migrate(engine)
    changes = [sql for sql in statements if sql.split()[0].upper() not in ("SELECT", "SHOW")]
    judge.equal("statements of alembic upgrade", changes, [])
    judge.equal("current revision", len(before), 1)


def aware(column):
    return getattr(column.type, "timezone", False)


def numbered(table):
    return list(table.primary_key.columns.keys()) == ["id"] and table.name != "product"


def rows(connection, table):
    answer = {}
    for row in connection.execute(select(table)).mappings():
        row = dict(row)
        for column in table.columns:
            value = row[column.name]
            # SQLite keeps no zone: the application writes UTC.
            if aware(column) and value is not None and value.tzinfo is None:
                row[column.name] = value.replace(tzinfo=UTC)
        answer[tuple(row[column.name] for column in table.primary_key)] = row
    return answer


def next_number(table, source):
    """The number that SQLite gives to the next row."""
    highest = source.execute(select(func.max(table.c.id))).scalar() or 0
    counter = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
    return max(highest, source.execute(counter, {"name": table.name}).scalar() or 0) + 1


def command_use(url, file):
    engine = postgres(url)
    tables = Base.metadata.sorted_tables
    with sqlite(file).connect() as source, engine.connect() as target:
        numbers = {table.name: next_number(table, source) for table in tables if numbered(table)}
        before = {table: rows(target, table) for table in tables}
        for table in tables:
            judge.compare_rows(table.name, before[table], rows(source, table))
    with Session(engine) as session:
        use(session, numbers)
        session.commit()
    with engine.connect() as target:
        for table in tables:
            judge.compare_rows(f"after use, {table.name}", rows(target, table), before[table])


def use(session, numbers):
    # Queries that need the right types.
    ann = session.scalars(select(Customer).where(Customer.level == Level.gold)).one()
    first = session.get(Product, uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"))
    judge.equal("labels of a product", len(first.labels), 3)
    by_json = select(Product).where(Product.attributes["b"].as_integer() == 1)
    judge.equal("products by JSON", session.scalars(by_json).all(), [first])
    orders = session.scalars(select(Order).where(Order.customer == ann).order_by(Order.number)).all()
    judge.equal("lines of a customer", [len(order.lines) for order in orders], [2, 1])
    long = select(Order.number).where(Order.takes > datetime.timedelta(days=399))
    judge.equal("long orders", session.scalars(long).all(), [1])
    moment = datetime.datetime(2024, 3, 10, 7, 30, 0, 123456, UTC)
    judge.equal("orders at a moment", session.scalars(select(Order).where(Order.placed_at == moment)).all(), orders[:1])
    quiet = select(func.count()).where(Customer.newsletter.is_(False))
    judge.equal("customers without newsletter", session.scalar(quiet), 1)

    # One new row of each model.
    category = Category(name="new")
    child = Category(name="child", parent=category)
    label = Label(name="brand new")
    customer = Customer(email="new@example.org", name="Ñ", avatar=b"\0\1", seen_at=datetime.datetime(2025, 7, 1, 12))
    product = Product(sku="new", name="ñ", price=Decimal("1.10"), attributes={"k": [1]}, category=child, labels=[label])
    order = Order(
        customer=customer,
        number=9,
        placed_at=datetime.datetime(2025, 7, 1, 12, 0, 0, 1, UTC),
        takes=datetime.timedelta(hours=1),
        total=Decimal("1.5"),
    )
    order.lines = [OrderLine(position=1, product=product)]
    session.add_all([category, label, customer, order])
    session.flush()
    for row in (category, label, customer, order):
        name = row.__tablename__
        judge.equal(f"next number of {name}", row.id, numbers[name])
    judge.equal("next number of a child", child.id, category.id + 1)

    # Read back, change, read back.
    session.expire_all()
    values = (order.placed_at, order.takes, order.total)
    judge.equal(
        "an order",
        values,
        (datetime.datetime(2025, 7, 1, 12, 0, 0, 1, UTC), datetime.timedelta(hours=1), Decimal("1.5")),
    )
    values = (customer.seen_at, customer.avatar, customer.level, customer.active)
    judge.equal("a customer", values, (datetime.datetime(2025, 7, 1, 12), b"\0\1", Level.basic, True))
    age = abs(customer.created_at - datetime.datetime.now(UTC))
    judge.expect(age < datetime.timedelta(minutes=1), "created_at is not now")
    judge.equal("a product", (product.attributes, product.stock, product.labels), ({"k": [1]}, 0, [label]))
    product.attributes, customer.active, customer.level = [], False, Level.gold
    session.flush()
    session.expire_all()
    values = (product.attributes, customer.active, customer.level)
    judge.equal("changed rows", values, ([], False, Level.gold))

    # What SQLite refuses is refused here too.
    moment = datetime.datetime.now(UTC)
    again = Order(customer_id=customer.id, number=9, placed_at=moment, total=0)
    refused(session, "a second order with one number", again)
    negative = Order(customer_id=customer.id, number=8, placed_at=moment, total=-1)
    refused(session, "a negative total", negative)
    refused(session, "an unknown category", Product(sku="x", name="x", price=0, category_id=999999))

    for row in (order, product, customer, label, child, category):
        session.delete(row)
        session.flush()
    judge.equal("labels of deleted products", session.query(product_label).filter_by(label_id=label.id).count(), 0)


def refused(session, what, row):
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        return
    judge.fail(f"{what} is accepted")


if __name__ == "__main__":
    prefix = "command_"
    names = [name for name in list(globals()) if name.startswith(prefix)]
    judge.main({name.removeprefix(prefix): globals()[name] for name in names})
