import datetime
import enum
import uuid
from decimal import Decimal

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    Time,
    Unicode,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMES)


class Level(enum.Enum):
    basic = "Basic customer"
    gold = "Gold customer"


class Category(Base):
    __tablename__ = "category"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Unicode(80), unique=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("category.id", ondelete="RESTRICT"))
    parent: Mapped["Category | None"] = relationship(remote_side=[id])


class Label(Base):
    __tablename__ = "label"
    __table_args__ = {"sqlite_autoincrement": True}

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)


product_label = Table(
    "product_label",
    Base.metadata,
    Column("product_id", ForeignKey("product.id", ondelete="CASCADE"), primary_key=True),
    Column("label_id", ForeignKey("label.id", ondelete="CASCADE"), primary_key=True),
)


class Product(Base):
    __tablename__ = "product"

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
    sku: Mapped[str] = mapped_column(String(20), unique=True)
    name: Mapped[str] = mapped_column(Text, index=True)
    price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    weight: Mapped[float | None] = mapped_column(Float)
    stock: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    attributes: Mapped[dict | list | None] = mapped_column(JSON)
    released: Mapped[datetime.date | None] = mapped_column(Date)
    category_id: Mapped[int] = mapped_column(ForeignKey("category.id"))
    category: Mapped[Category] = relationship()
    labels: Mapped[list[Label]] = relationship(secondary=product_label)
    changed_at: Mapped[datetime.datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now()
    )


class Customer(Base):
    __tablename__ = "customer"
    __table_args__ = (Index("ix_customer_lower_email", func.lower(text("email"))),)

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    level: Mapped[Level] = mapped_column(Enum(Level, name="customer_level"), default=Level.basic)
    active: Mapped[bool] = mapped_column(Boolean, default=True)
    newsletter: Mapped[bool | None] = mapped_column(Boolean)
    avatar: Mapped[bytes | None] = mapped_column(LargeBinary)
    opens_at: Mapped[datetime.time | None] = mapped_column(Time)
    born: Mapped[datetime.date | None]
    visits: Mapped[int] = mapped_column(BigInteger, default=0)
    seen_at: Mapped[datetime.datetime | None] = mapped_column(DateTime)
    created_at: Mapped[datetime.datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    note: Mapped[str | None] = mapped_column(Text)


class Order(Base):
    __tablename__ = "order"
    __table_args__ = (
        UniqueConstraint("customer_id", "number"),
        CheckConstraint("total >= 0", name="total"),
        Index("ix_order_placed", "customer_id", "placed_at"),
    )

    # SQLite numbers rows only where the type is INTEGER.
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id", ondelete="CASCADE"))
    customer: Mapped[Customer] = relationship()
    number: Mapped[int]
    reference: Mapped[uuid.UUID | None] = mapped_column(unique=True)
    placed_at: Mapped[datetime.datetime] = mapped_column(DateTime(timezone=True))
    takes: Mapped[datetime.timedelta | None] = mapped_column(Interval)
    total: Mapped[Decimal] = mapped_column(Numeric(10, 4))
    lines: Mapped[list["OrderLine"]] = relationship(cascade="all, delete-orphan")


class OrderLine(Base):
    __tablename__ = "order_line"

    order_id: Mapped[int] = mapped_column(ForeignKey("order.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    product_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("product.id"))
    product: Mapped[Product] = relationship()
    quantity: Mapped[int] = mapped_column(default=1)
