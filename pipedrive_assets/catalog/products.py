"""Products and their variations."""

from __future__ import annotations

from pipedrive_assets.catalog.changes import followers
from pipedrive_assets.catalog.columns import flag, integer, json, number, references, text, timestamp
from pipedrive_assets.catalog.spec import CustomFields, EntitySpec, Incremental, PerParent, Tier
from pipedrive_assets.catalog.streams import cursor_list

PRODUCTS = EntitySpec(
    name="products",
    description="The company's price list.",
    group="products",
    tier=Tier.CORE,
    key=("id",),
    update_column="update_time",
    custom_fields=CustomFields.NESTED,
    columns=(
        integer("id", "Id of the product", required=True),
        text("name", "Name of the product", required=True),
        text("code", "Product code"),
        text("description", "Description of the product"),
        text("unit", "Unit in which the product is sold"),
        number("tax", "Tax, in percent"),
        text("category", "Category of the product, an option id as text"),
        integer("owner_id", "Id of the user who owns the product"),
        json("prices", "Price, cost and direct cost, one entry a currency"),
        text("billing_frequency", "one-time, annually, semi-annually, quarterly, monthly or weekly"),
        integer(
            "billing_frequency_cycles",
            "How often the billing repeats; null is without end, or once if one-time",
        ),
        flag("is_linkable", "Whether the product can be added to deals"),
        flag("is_deleted", "Whether the product is deleted"),
        integer("visible_to", "Visibility: 1 owner, 3 owner's group, 5 with sub-groups, 7 whole company"),
        timestamp("add_time", "When the product was created (UTC)"),
        timestamp("update_time", "When the product last changed (UTC)"),
    ),
    streams=(
        cursor_list(
            "/products",
            incremental=Incremental.SINCE,
            sort_fields=("id", "name", "add_time", "update_time"),
        ),
    ),
    references=references(owner_id="users"),
)

PRODUCT_VARIATIONS = EntitySpec(
    name="product_variations",
    description="Variations of products with prices of their own.",
    group="products",
    tier=Tier.ON_DEMAND,
    key=("id",),
    default=False,
    columns=(
        integer("id", "Id of the variation", required=True),
        integer("product_id", "Id of the product", required=True),
        text("name", "Name of the variation"),
        json("prices", "Price, cost and direct cost, one entry a currency"),
    ),
    streams=(cursor_list("/products/{id}/variations", fan=PerParent("products", "{id}")),),
    references=references(product_id="products"),
)

PRODUCT_FOLLOWERS = followers("products", "product", group="products", counter=None)

SPECS = (PRODUCTS,)
CHILDREN = (PRODUCT_VARIATIONS, PRODUCT_FOLLOWERS)
