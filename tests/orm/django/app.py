"""A shop with Django: `sqlite FILE`, `postgres URL`, `copy URL FILE`, `check URL`, `use URL FILE`."""

import datetime
import io
import os
import pathlib
import sys
import urllib.parse
import uuid
from decimal import Decimal

sys.path.append(str(pathlib.Path(__file__).parent.parent))

import django
from django.conf import settings
from django.core.management import call_command
from django.db import IntegrityError, connections, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Sum

import judge

ZONE = os.environ.get("TZ", "UTC")


def sqlite(file):
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": file}


def postgres(url):
    parts = urllib.parse.urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path[1:],
        "USER": parts.username,
        "PASSWORD": parts.password or "",
        "HOST": parts.hostname,
        "PORT": parts.port,
        "OPTIONS": dict(urllib.parse.parse_qsl(parts.query)),
    }


def start(default, source=None):
    databases = {"default": default}
    if source:
        databases["source"] = source
    settings.configure(
        DATABASES=databases,
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            "shop",
        ],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        SECRET_KEY="only for tests",
        SILENCED_SYSTEM_CHECKS=["admin", "postgres"],
        TEMPLATES=[],
        TIME_ZONE=ZONE,
        USE_TZ=True,
    )
    django.setup()


def migrate(*arguments):
    output = io.StringIO()
    call_command("migrate", *arguments, interactive=False, stdout=output, no_color=True)
    return output.getvalue()


def command_sqlite(file):
    start(sqlite(file))
    # The content types get other numbers than in a database that is migrated at once.
    migrate("sessions")
    migrate("shop")
    migrate()
    fill()


def command_postgres(url):
    start(postgres(url))
    migrate()


def command_copy(url, file):
    start(postgres(url), sqlite(file))
    with transaction.atomic(), connections["default"].cursor() as cursor:
        for model in reversed(models()):
            model._base_manager.all().delete()
        for model in models():
            for row in model._base_manager.using("source").all():
                row.save_base(raw=True, using="default", force_insert=True)
        for model in models():
            if model._meta.pk.get_internal_type().endswith("AutoField"):
                sql = "SELECT setval(pg_get_serial_sequence(%s, 'id'), %s, false)"
                cursor.execute(sql, [model._meta.db_table, next_number(model, "source")])


@transaction.atomic
def fill():
    from django.contrib.admin.models import CHANGE, LogEntry
    from django.contrib.auth.models import Group, Permission, User
    from django.contrib.contenttypes.models import ContentType
    from django.contrib.sessions.backends.db import SessionStore
    from shop.models import Category, Customer, Label, Order, OrderLine, Product

    utc = datetime.timezone.utc
    root = Category.objects.create(name="Bücher", slug="buecher")
    child = Category.objects.create(name="地図", slug="maps", parent=root)
    labels = [Label.objects.create(name=name) for name in ("new", "rare", "it's \"quoted\" \\ 'text'")]
    # The highest number was used and is free: the next one is past it.
    Label.objects.create(name="gone").delete()
    first = Product.objects.create(
        id=uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"),
        sku="B-1",
        name="Der Prozeß 📚",
        description="line one\nline two\ttab",
        price=Decimal("12.50"),
        weight=0.1,
        stock=7,
        attributes={"b": 1, "a": [1.5, None, True, "ü"], "deep": {"x": {}}},
        released=datetime.date(1925, 4, 26),
        category=root,
        manual="manuals/prozess.pdf",
    )
    second = Product.objects.create(sku="M-1", name="Map", price=Decimal("0.05"), category=child)
    third = Product.objects.create(
        sku="M-2", name="", price=Decimal("9999999999.99"), weight=-1e300, attributes=[], category=child
    )
    first.labels.set(labels)
    second.labels.set(labels[:1])
    first.similar.set([second, third])
    user = User.objects.create_user("ann", "ann@example.org", "secret", first_name="Änn", last_login=None)
    staff = User.objects.create_superuser("root", "", "secret")
    staff.last_login = datetime.datetime(2024, 2, 29, 23, 59, 59, 999999, utc)
    staff.save()
    group = Group.objects.create(name="editors")
    of_shop = Permission.objects.filter(content_type__app_label="shop")
    group.permissions.set(of_shop.filter(codename__startswith="change_"))
    user.groups.add(group)
    user.user_permissions.add(of_shop.get(codename="delete_order"))
    ann = Customer.objects.create(
        user=user,
        email="ann@example.org",
        name="Ännchen O'Neill",
        level=Customer.Level.GOLD,
        newsletter=True,
        address="2001:db8::1",
        avatar=bytes(range(256)),
        opens_at=datetime.time(8, 30, 0, 250000),
        born=datetime.date(1990, 1, 31),
        visits=2**62 + 1,
        note="",
    )
    bob = Customer.objects.create(
        email="bob@example.org", name="Bob", active=False, newsletter=False, address="10.0.0.7", avatar=b""
    )
    Customer.objects.create(email="nul@example.org", name="Nobody")
    order = Order.objects.create(
        customer=ann,
        number=1,
        reference=uuid.uuid4(),
        placed_at=datetime.datetime(2024, 3, 10, 7, 30, 0, 123456, utc),
        takes=datetime.timedelta(days=400, hours=3, microseconds=7),
        total=Decimal("25.1234"),
    )
    later = Order.objects.create(
        customer=ann,
        number=2,
        placed_at=datetime.datetime(2024, 11, 3, 6, 30, tzinfo=utc),
        takes=-datetime.timedelta(seconds=90),
        total=Decimal("0"),
    )
    Order.objects.create(
        customer=bob, number=1, placed_at=datetime.datetime(1969, 12, 31, 23, 0, tzinfo=utc), total=Decimal("1")
    )
    OrderLine.objects.create(order=order, product=first, quantity=2)
    OrderLine.objects.create(order=order, product=second)
    OrderLine.objects.create(order=later, product=third, quantity=-1)
    LogEntry.objects.create(
        user=staff,
        content_type=ContentType.objects.get_for_model(Product),
        object_id=str(first.pk),
        object_repr=str(first),
        action_flag=CHANGE,
        change_message='[{"changed": {"fields": ["Price"]}}]',
    )
    session = SessionStore()
    session["cart"] = [str(first.pk)]
    session.save()


def command_check(url):
    start(postgres(url))
    for command, arguments in (("makemigrations", ["--check", "--dry-run"]), ("migrate", ["--check"])):
        output = io.StringIO()
        try:
            call_command(command, *arguments, stdout=output, no_color=True)
        except SystemExit as end:
            judge.expect(not end.code, f"{command} --check: {output.getvalue().strip()}")
    judge.expect("No migrations to apply." in migrate(), "migrate applies a migration")
    plan = MigrationExecutor(connections["default"]).loader
    judge.equal("inconsistent history", plan.check_consistent_history(connections["default"]), None)
    # Migrated again, the content types and permissions are all there.
    numbers = {model: model.objects.count() for model in models()}
    migrate()
    judge.equal("rows after migrate", {model: model.objects.count() for model in models()}, numbers)


def models():
    from django.apps import apps

    return apps.get_models(include_auto_created=True)


def rows(model, database):
    answer = {}
    for row in model._base_manager.using(database).values():
        row = {name: bytes(value) if isinstance(value, memoryview) else value for name, value in row.items()}
        answer[row[model._meta.pk.attname]] = row
    return answer


def next_number(model, database):
    """The number that SQLite gives to the next row."""
    with connections[database].cursor() as cursor:
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [model._meta.db_table])
        row = cursor.fetchone()
    return (row[0] if row else 0) + 1


def command_use(url, file):
    start(postgres(url), sqlite(file))
    for model in models():
        judge.compare_rows(model.__name__, rows(model, "default"), rows(model, "source"))
    before = {model: rows(model, "default") for model in models()}
    use()
    for model in models():
        judge.compare_rows(f"after use, {model.__name__}", rows(model, "default"), before[model])


def use():
    from django.contrib.admin.models import ADDITION, LogEntry
    from django.contrib.auth.models import Group, Permission, User
    from django.contrib.contenttypes.models import ContentType
    from django.contrib.sessions.models import Session
    from django.db.migrations.recorder import MigrationRecorder
    from django.utils import timezone
    from shop.models import Category, Customer, Label, Order, OrderLine, Product

    # Queries that need the right types.
    ann = Customer.objects.get(email="ann@example.org")
    first = Product.objects.get(pk="00112233-4455-6677-8899-aabbccddeeff")
    judge.equal("labels of a product", first.labels.count(), 3)
    judge.equal("similar products", first.similar.count(), 2)
    judge.equal("products by JSON", Product.objects.filter(attributes__deep__x={}).count(), 1)
    judge.equal("lines of a customer", OrderLine.objects.filter(order__customer=ann).count(), 3)
    judge.equal("worth", Product.objects.aggregate(sum=Sum("worth"))["sum"], Decimal("87.50"))
    long = Order.objects.filter(takes__gt=datetime.timedelta(days=399))
    judge.equal("long orders", long.count(), 1)
    judge.equal("early orders", Order.objects.filter(placed_at__year__lt=1971).count(), 1)
    judge.equal("customers by address", Customer.objects.filter(address="2001:db8::1").count(), 1)
    judge.equal("customers without newsletter", Customer.objects.filter(newsletter=False).count(), 1)
    judge.expect(ann.user.has_perm("shop.delete_order"), "ann may not delete an order")
    judge.expect(ann.user.has_perm("shop.change_product"), "ann may not change a product")
    judge.expect(not ann.user.has_perm("shop.delete_product"), "ann may delete a product")

    # One new row of each model.
    content_type = ContentType.objects.create(app_label="shop", model="imagined")
    permission = Permission.objects.create(name="Imagine", content_type=content_type, codename="imagine")
    group = Group.objects.create(name="new")
    group.permissions.add(permission)
    user = User.objects.create_user("new", password="secret")
    user.groups.add(group)
    user.user_permissions.add(permission)
    log = LogEntry.objects.create(user=user, content_type=content_type, action_flag=ADDITION)
    session = Session.objects.create(session_key="new", session_data="", expire_date=timezone.now())
    category = Category.objects.create(name="new", slug="new")
    child = Category.objects.create(name="child", slug="child", parent=category)
    label = Label.objects.create(name="brand new")
    moment = datetime.datetime(2025, 7, 1, 12, 0, 0, 1, datetime.timezone.utc)
    product = Product.objects.create(
        sku="new", name="ñ", price=Decimal("1.10"), stock=3, attributes={"k": [1]}, category=child
    )
    product.labels.add(label)
    product.similar.add(first)
    customer = Customer.objects.create(user=user, email="new@example.org", name="New", avatar=b"\0\1", address="::1")
    order = Order.objects.create(
        customer=customer, number=9, placed_at=moment, takes=datetime.timedelta(hours=1), total=Decimal("1.5")
    )
    line = OrderLine.objects.create(order=order, product=product)
    made = [content_type, permission, group, user, log, category, label, customer, order, line]
    made += [product.labels.through.objects.get(product=product), user.groups.through.objects.get(user=user)]
    made += [user.user_permissions.through.objects.get(user=user), group.permissions.through.objects.get(group=group)]
    made.append(product.similar.through.objects.get(from_product=product))
    for row in made:
        judge.equal(f"next number of {row._meta.db_table}", row.pk, next_number(type(row), "source"))
    judge.equal("next number of a child", child.pk, category.pk + 1)
    recorder = MigrationRecorder.Migration.objects
    highest = recorder.order_by("-pk").first().pk
    record = recorder.create(app="shop", name="9999_imagined")
    judge.expect(record.pk > highest, "the next number of django_migrations is taken")
    record.delete()

    # Read back, change, read back.
    order.refresh_from_db()
    product.refresh_from_db()
    customer.refresh_from_db()
    values = (order.placed_at, order.takes, order.total)
    judge.equal("an order", values, (moment, datetime.timedelta(hours=1), Decimal("1.5")))
    judge.equal("a product", (product.worth, product.attributes), (Decimal("3.30"), {"k": [1]}))
    judge.equal("a customer", (bytes(customer.avatar), customer.address, customer.active), (b"\0\1", "::1", True))
    judge.expect(abs(customer.stored_at - timezone.now()) < datetime.timedelta(minutes=1), "stored_at is not now")
    product.stock, product.attributes = 4, []
    product.save()
    customer.active, customer.level = False, Customer.Level.GOLD
    customer.save()
    product.refresh_from_db()
    customer.refresh_from_db()
    judge.equal("a changed product", (product.worth, product.attributes), (Decimal("4.40"), []))
    judge.equal("a changed customer", (customer.active, customer.level), (False, "gold"))

    # What SQLite refuses is refused here too.
    again = Order(customer=customer, number=9, placed_at=moment, total=0)
    refused("a second order with one number", again.save)
    negative = Order(customer=customer, number=8, placed_at=moment, total=-1)
    refused("a negative total", negative.save)
    refused("a negative stock", lambda: Product.objects.filter(pk=product.pk).update(stock=-1))
    refused("an unknown category", lambda: Product.objects.filter(pk=product.pk).update(category_id=999999))

    for row in (line, order, customer, product, label, child, category):
        row.delete()
    for row in (session, log, user, group, permission, content_type):
        row.delete()


def refused(what, action):
    try:
        with transaction.atomic():
            action()
            connections["default"].check_constraints()
    except IntegrityError:
        return
    judge.fail(f"{what} is accepted")


if __name__ == "__main__":
    prefix = "command_"
    names = [name for name in list(globals()) if name.startswith(prefix)]
    judge.main({name.removeprefix(prefix): globals()[name] for name in names})
