import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class Category(models.Model):
    name = models.CharField(max_length=80, unique=True)
    slug = models.SlugField()
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="children")


class Label(models.Model):
    id = models.AutoField(primary_key=True)
    name = models.CharField(max_length=40, unique=True)


class Product(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    sku = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=200, db_index=True)
    description = models.TextField(blank=True)
    price = models.DecimalField(max_digits=12, decimal_places=2)
    weight = models.FloatField(null=True)
    stock = models.PositiveIntegerField(default=0)
    worth = models.GeneratedField(
        expression=models.F("price") * models.F("stock"),
        output_field=models.DecimalField(max_digits=20, decimal_places=2),
        db_persist=True,
    )
    attributes = models.JSONField(default=dict)
    released = models.DateField(null=True)
    category = models.ForeignKey(Category, on_delete=models.CASCADE)
    labels = models.ManyToManyField(Label, related_name="products")
    similar = models.ManyToManyField("self")
    manual = models.FileField(upload_to="manuals", blank=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        indexes = [models.Index(fields=["category", "-name"], name="product_by_category")]


class Customer(models.Model):
    class Level(models.TextChoices):
        BASIC = "basic"
        GOLD = "gold"

    user = models.OneToOneField(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=100)
    level = models.CharField(max_length=10, choices=Level.choices, default=Level.BASIC)
    active = models.BooleanField(default=True)
    newsletter = models.BooleanField(null=True)
    address = models.GenericIPAddressField(null=True)
    avatar = models.BinaryField(null=True)
    opens_at = models.TimeField(null=True)
    born = models.DateField(null=True)
    visits = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    stored_at = models.DateTimeField(db_default=Now())
    note = models.TextField(null=True)


class Order(models.Model):
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE)
    number = models.PositiveSmallIntegerField()
    reference = models.UUIDField(null=True, unique=True)
    placed_at = models.DateTimeField()
    takes = models.DurationField(null=True)
    total = models.DecimalField(max_digits=10, decimal_places=4)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["customer", "number"], name="order_number"),
            models.CheckConstraint(condition=models.Q(total__gte=0), name="order_total"),
        ]


class OrderLine(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    quantity = models.IntegerField(default=1)
