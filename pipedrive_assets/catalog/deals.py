"""Deals and what hangs below them: products, installments, discounts, followers, participants, changes."""

from __future__ import annotations

from pipedrive_assets.catalog.changes import changelog, followers
from pipedrive_assets.catalog.columns import (
    counts,
    date,
    flag,
    integer,
    json,
    names,
    number,
    parent_id,
    references,
    text,
    timestamp,
)
from pipedrive_assets.catalog.spec import CustomFields, EntitySpec, Incremental, PerParent, Tier, Version
from pipedrive_assets.catalog.streams import V2_SORT, cursor_list, offset_list, whole_list

_OPTIONAL = (
    integer("next_activity_id", "Id of the next activity still to be done on the deal"),
    integer("last_activity_id", "Id of the last activity done on the deal"),
    timestamp("first_won_time", "When the deal was won for the first time (UTC)"),
    *counts(
        "the deal",
        products="products attached to",
        files="files attached to",
        notes="notes on",
        followers="users who follow",
        email_messages="e-mail messages linked to",
        activities="activities of",
        done_activities="activities done on",
        undone_activities="activities still to be done on",
        participants="persons who take part in",
    ),
    timestamp("last_incoming_mail_time", "When the last e-mail linked to the deal came in (UTC)"),
    timestamp("last_outgoing_mail_time", "When the last e-mail linked to the deal was sent (UTC)"),
    text("smart_bcc_email", "Address which, put in Bcc, files an e-mail under the deal"),
    text("source_lead_id", "UUID of the lead the deal was converted from"),
)

# Deleted deals (up to 30 days back) come in the same call, hence at no extra cost (reference section 5.2).
_PARAMS = (("status", "open,won,lost,deleted"), ("include_fields", names(_OPTIONAL)))

DEALS = EntitySpec(
    name="deals",
    description="Sales opportunities, archived ones and those deleted in the last 30 days included.",
    group="sales",
    tier=Tier.CORE,
    key=("id",),
    update_column="update_time",
    custom_fields=CustomFields.NESTED,
    columns=(
        integer("id", "Id of the deal", required=True),
        text("title", "Title of the deal", required=True),
        integer("owner_id", "Id of the user who owns the deal"),
        integer("creator_user_id", "Id of the user who created the deal"),
        integer("person_id", "Id of the linked person"),
        integer("org_id", "Id of the linked organization"),
        integer("pipeline_id", "Id of the pipeline the deal is in"),
        integer("stage_id", "Id of the stage the deal is in"),
        number("value", "Value of the deal, in the unit of `currency`"),
        text("currency", "ISO 4217 code of the deal's currency"),
        timestamp("add_time", "When the deal was created (UTC)"),
        timestamp("update_time", "When the deal last changed (UTC)"),
        timestamp("stage_change_time", "When the deal last changed its stage (UTC)"),
        flag("is_deleted", "Whether the deal is deleted"),
        flag("is_archived", "Whether the deal is archived"),
        text("status", "open, won, lost or deleted"),
        number("probability", "Chance of success, in percent"),
        text("lost_reason", "Why the deal was lost, free text"),
        integer("visible_to", "Visibility: 1 owner, 3 owner's group, 5 with sub-groups, 7 whole company"),
        timestamp("close_time", "When the deal was won or lost (UTC)"),
        timestamp("won_time", "When the deal was won (UTC)"),
        timestamp("lost_time", "When the deal was lost (UTC)"),
        timestamp("archive_time", "When the deal was archived (UTC)"),
        date("local_won_date", "Date on which the deal was won, local"),
        date("local_lost_date", "Date on which the deal was lost, local"),
        date("local_close_date", "Date on which the deal was closed, local"),
        date("expected_close_date", "Date on which the deal is expected to be closed"),
        json("label_ids", "Ids of the deal's labels (options of the deals' label field)"),
        text("origin", "How the deal was created, set by Pipedrive"),
        text("origin_id", "What exactly created the deal, such as the id of an integration"),
        integer("channel", "Id of the marketing channel the deal came from"),
        text("channel_id", "Free text that tells apart campaigns within the marketing channel"),
        number("arr", "Annual recurring revenue in `currency`; null without products"),
        number("mrr", "Monthly recurring revenue in `currency`; null without products"),
        number("acv", "Annual contract value in `currency`; null without products"),
        *_OPTIONAL,
    ),
    streams=(
        cursor_list(
            "/deals",
            incremental=Incremental.WINDOW,
            params=_PARAMS,
            sort_fields=V2_SORT,
        ),
        cursor_list(
            "/deals/archived",
            name="archived",
            token_cost=20,
            incremental=Incremental.WINDOW,
            params=_PARAMS,
            sort_fields=V2_SORT,
        ),
    ),
    references=references(
        owner_id="users",
        creator_user_id="users",
        person_id="persons",
        org_id="organizations",
        pipeline_id="pipelines",
        stage_id="stages",
        next_activity_id="activities",
        last_activity_id="activities",
        source_lead_id="leads",
    ),
)

DEAL_PRODUCTS = EntitySpec(
    name="deal_products",
    description="Products attached to deals: price, quantity, discount, tax and billing.",
    group="sales",
    tier=Tier.HOURLY,
    key=("id",),
    update_column="update_time",
    columns=(
        integer("id", "Id of the attachment of a product to a deal", required=True),
        integer("deal_id", "Id of the deal", required=True),
        integer("product_id", "Id of the product"),
        integer("product_variation_id", "Id of the product variation"),
        text("name", "Name of the product"),
        integer("order_nr", "Position of the product within the deal"),
        number("item_price", "Price of one item, in `currency`"),
        number("quantity", "Quantity; decimals are allowed"),
        number("discount", "Discount, in the unit that `discount_type` names"),
        text("discount_type", "percentage or amount"),
        number("tax", "Tax, in percent"),
        text("tax_method", "exclusive, inclusive or none"),
        number("sum", "Sum of the attachment, in `currency`"),
        text("currency", "ISO 4217 code of the currency"),
        text("comments", "Comments on the product in this deal"),
        flag("is_enabled", "Whether the product counts towards the deal"),
        text("billing_frequency", "one-time, annually, semi-annually, quarterly, monthly or weekly"),
        integer(
            "billing_frequency_cycles",
            "How often the billing repeats; null is without end, or once if one-time",
        ),
        date("billing_start_date", "Date on which billing starts"),
        timestamp("add_time", "When the product was attached (UTC)"),
        timestamp("update_time", "When the attachment last changed (UTC)"),
    ),
    streams=(
        cursor_list(
            "/deals/products",
            fan=PerParent("deals", "deal_ids", batch=100, only_where_positive="products_count"),
            sort_fields=("id", "deal_id", "add_time", "update_time", "order_nr"),
        ),
    ),
    references=references(deal_id="deals", product_id="products", product_variation_id="product_variations"),
)

DEAL_INSTALLMENTS = EntitySpec(
    name="deal_installments",
    description="Installments in which a deal is billed (Growth plan or higher).",
    group="sales",
    tier=Tier.HOURLY,
    key=("id",),
    columns=(
        integer("id", "Id of the installment", required=True),
        integer("deal_id", "Id of the deal", required=True),
        number("amount", "Amount, in the deal's currency"),
        date("billing_date", "Date on which the installment is charged"),
        text("description", "Name of the installment"),
    ),
    streams=(
        cursor_list(
            "/deals/installments",
            # Only deals with a one-time product can have one (OpenAPI v2, POST /deals/{id}/installments).
            fan=PerParent("deals", "deal_ids", batch=100, only_where_positive="products_count"),
            sort_fields=("id", "billing_date", "deal_id"),
        ),
    ),
    references=references(deal_id="deals"),
)

DEAL_DISCOUNTS = EntitySpec(
    name="deal_discounts",
    description="Additional discounts on whole deals.",
    group="sales",
    tier=Tier.ON_DEMAND,
    key=("id",),
    update_column="updated_at",
    default=False,
    columns=(
        text("id", "UUID of the discount", required=True),
        integer("deal_id", "Id of the deal", required=True),
        text("description", "Name of the discount"),
        text("type", "percentage or amount"),
        number("amount", "Discount, in the unit that `type` names"),
        timestamp("created_at", "When the discount was created (UTC)"),
        integer("created_by", "Id of the user who created the discount"),
        timestamp("updated_at", "When the discount last changed (UTC)"),
        integer("updated_by", "Id of the user who last changed the discount"),
    ),
    streams=(
        whole_list(
            "/deals/{id}/discounts",
            token_cost=10,
            version=Version.V2,
            fan=PerParent("deals", "{id}"),
        ),
    ),
    references=references(deal_id="deals", created_by="users", updated_by="users"),
)

DEAL_PARTICIPANTS = EntitySpec(
    name="deal_participants",
    description="Persons who take part in deals.",
    group="sales",
    tier=Tier.ON_DEMAND,
    key=("id",),
    default=False,
    columns=(
        integer("id", "Id of the participation", required=True),
        parent_id("deal_id", "Id of the deal below which the participant was listed"),
        json("person_id", "The person in short: `value` is its id, beside it name, e-mails, phones"),
        json("person", "The person in full, in the shape of API v1"),
        json("added_by_user_id", "The user who added the participant"),
        text("related_item_type", "Kind of record the participant belongs to: deal"),
        integer("related_item_id", "Id of that record"),
        json("related_item_data", "Id and title of that record"),
        flag("active_flag", "Whether the participant is active"),
        timestamp("add_time", "When the participant was added (UTC)"),
    ),
    streams=(
        offset_list(
            "/deals/{id}/participants",
            token_cost=10,
            fan=PerParent("deals", "{id}", only_where_positive="participants_count"),
        ),
    ),
    references=references(deal_id="deals"),
)

DEAL_FOLLOWERS = followers("deals", "deal", group="sales")
DEAL_CHANGELOG = changelog("deals", "deal", group="sales")

SPECS = (
    DEALS,
    DEAL_PRODUCTS,
    DEAL_INSTALLMENTS,
    DEAL_DISCOUNTS,
    DEAL_PARTICIPANTS,
    DEAL_FOLLOWERS,
    DEAL_CHANGELOG,
)
