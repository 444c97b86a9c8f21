"""Leads, their labels and sources."""

from __future__ import annotations

from pipedrive_assets.catalog.columns import date, flag, integer, json, references, text, timestamp
from pipedrive_assets.catalog.spec import CustomFields, EntitySpec, Incremental, Tier
from pipedrive_assets.catalog.streams import offset_list, whole_list

_SORT = (
    "id",
    "title",
    "owner_id",
    "creator_id",
    "was_seen",
    "expected_close_date",
    "next_activity_id",
    "add_time",
    "update_time",
)

LEADS = EntitySpec(
    name="leads",
    description="Possible deals that are not in a pipeline yet, archived ones included.",
    group="leads",
    tier=Tier.CORE,
    key=("id",),
    update_column="update_time",
    custom_fields=CustomFields.FLAT,
    columns=(
        text("id", "UUID of the lead", required=True),
        text("title", "Title of the lead", required=True),
        integer("owner_id", "Id of the user who owns the lead"),
        integer("creator_id", "Id of the user who created the lead"),
        integer("person_id", "Id of the linked person"),
        integer("organization_id", "Id of the linked organization"),
        json("label_ids", "UUIDs of the lead's labels"),
        json("value", "Potential value: `amount` and `currency`"),
        date("expected_close_date", "Date on which the deal to come is expected to be closed"),
        text("source_name", "Where the lead came from: name of a lead source"),
        text("origin", "How the lead was created, set by Pipedrive"),
        text("origin_id", "What exactly created the lead, such as the id of an integration"),
        integer("channel", "Id of the marketing channel the lead came from"),
        text("channel_id", "Free text that tells apart campaigns within the marketing channel"),
        integer("source_deal_id", "Id of the deal the lead was converted from"),
        integer("next_activity_id", "Id of the next activity of the lead"),
        flag("is_archived", "Whether the lead is archived"),
        flag("was_seen", "Whether anybody has looked at the lead in Pipedrive"),
        integer("visible_to", "Visibility: 1 owner, 3 owner's group, 5 with sub-groups, 7 whole company"),
        text("cc_email", "Address which, put in Bcc, files an e-mail under the lead"),
        timestamp("add_time", "When the lead was created (UTC)"),
        timestamp("update_time", "When the lead last changed (UTC)"),
    ),
    streams=(
        offset_list("/leads", incremental=Incremental.SINCE, sort_fields=_SORT),
        offset_list(
            "/leads/archived",
            name="archived",
            token_cost=40,
            incremental=Incremental.SORT_STOP,
            sort_fields=_SORT,
            tier=Tier.HOURLY,
        ),
    ),
    references=references(
        owner_id="users",
        creator_id="users",
        person_id="persons",
        organization_id="organizations",
        source_deal_id="deals",
        next_activity_id="activities",
        source_name="lead_sources",
    ),
)

LEAD_LABELS = EntitySpec(
    name="lead_labels",
    description="Labels that leads can carry.",
    group="leads",
    tier=Tier.DAILY,
    key=("id",),
    update_column="update_time",
    columns=(
        text("id", "UUID of the label", required=True),
        text("name", "Name of the label", required=True),
        text("color", "Name of the label's colour"),
        timestamp("add_time", "When the label was created (UTC)"),
        timestamp("update_time", "When the label last changed (UTC)"),
    ),
    streams=(whole_list("/leadLabels", token_cost=10),),
)

LEAD_SOURCES = EntitySpec(
    name="lead_sources",
    description="Where leads can come from; a list fixed by Pipedrive.",
    group="leads",
    tier=Tier.DAILY,
    key=("name",),
    columns=(text("name", "Name of the lead source", required=True),),
    streams=(whole_list("/leadSources", token_cost=2),),
)

SPECS = (LEAD_LABELS, LEAD_SOURCES, LEADS)
