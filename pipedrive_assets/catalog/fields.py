"""Field definitions: what the columns and custom fields of the other entities mean."""

from __future__ import annotations

from pipedrive_assets.catalog.columns import flag, integer, json, names, references, text, timestamp
from pipedrive_assets.catalog.spec import Column, EntitySpec, Tier
from pipedrive_assets.catalog.streams import cursor_list, offset_list, whole_list

_UI_VISIBILITY = json("ui_visibility", "Where Pipedrive shows the field")
_IMPORTANT_FIELDS = json("important_fields", "Whether the field is marked as important, and in which stages")
_REQUIRED_FIELDS = json("required_fields", "Whether the field is required, and in which stages and statuses")


def _fields(
    noun: str, path: str, optional: tuple[Column, ...] = (), always: tuple[Column, ...] = ()
) -> EntitySpec:
    """Field definitions in the shape of API v2 (reference section 6.4)."""
    return EntitySpec(
        name=f"{noun}_fields",
        description=f"Definitions of the {noun} fields, built-in and custom; active ones only.",
        group="fields",
        tier=Tier.HOURLY,
        key=("field_code",),
        columns=(
            text("field_code", "Key of the field: its system name, or 40 hexadecimal digits", required=True),
            text("field_name", "Name of the field, as people see it", required=True),
            text("field_type", "Type of the field, such as varchar, enum, monetary", required=True),
            text("description", "Description of the field"),
            json("options", "Options of enum and set fields: id, label, colour; null for others"),
            json("subfields", "Parts of address, monetary, time and range fields; null for others"),
            flag("is_custom_field", "Whether the field is the company's own"),
            flag("is_optional_response_field", "Whether records hold the field only on request"),
            *optional,
            *always,
        ),
        streams=(cursor_list(path, params=(("include_fields", names(optional)),) if optional else ()),),
    )


ACTIVITY_FIELDS = _fields("activity", "/activityFields", optional=(_UI_VISIBILITY,))
DEAL_FIELDS = _fields("deal", "/dealFields", optional=(_UI_VISIBILITY, _IMPORTANT_FIELDS, _REQUIRED_FIELDS))
ORGANIZATION_FIELDS = _fields(
    "organization", "/organizationFields", optional=(_UI_VISIBILITY, _IMPORTANT_FIELDS, _REQUIRED_FIELDS)
)
PERSON_FIELDS = _fields(
    "person", "/personFields", optional=(_UI_VISIBILITY, _IMPORTANT_FIELDS, _REQUIRED_FIELDS)
)
PRODUCT_FIELDS = _fields("product", "/productFields", optional=(_UI_VISIBILITY,))
PROJECT_FIELDS = _fields(
    "project", "/projectFields", always=(_UI_VISIBILITY, _IMPORTANT_FIELDS, _REQUIRED_FIELDS)
)

_V1_FIELD = (
    text("key", "Key of the field: its system name, or 40 hexadecimal digits", required=True),
    integer("id", "Id of the field; null for parts of other fields"),
    text("name", "Name of the field, as people see it", required=True),
    text("field_type", "Type of the field, such as varchar, enum, monetary", required=True),
    json("options", "Options of enum and set fields: id and label; null for others"),
    flag("active_flag", "Whether the field is active"),
    flag("edit_flag", "Whether the definition can be edited"),
    flag("bulk_edit_allowed", "Whether many records' values can be edited at once"),
    flag("mandatory_flag", "Whether the field is mandatory"),
)

LEAD_FIELDS = EntitySpec(
    name="lead_fields",
    description="Definitions of the lead fields; leads share the custom fields of deals.",
    group="fields",
    tier=Tier.HOURLY,
    key=("key",),
    update_column="update_time",
    columns=(
        *_V1_FIELD,
        integer("order_nr", "Position among the fields"),
        integer("created_by_user_id", "Id of the user who created the field"),
        integer("last_updated_by_user_id", "Id of the user who last changed the field"),
        flag("index_visible_flag", "Not used by Pipedrive"),
        flag("details_visible_flag", "Not used by Pipedrive"),
        flag("add_visible_flag", "Not used by Pipedrive"),
        flag("important_flag", "Not used by Pipedrive"),
        flag("searchable_flag", "Whether records can be searched by the field"),
        flag("filtering_allowed", "Whether records can be filtered by the field"),
        flag("sortable_flag", "Whether records can be sorted by the field"),
        json("options_deleted", "Deleted options of the field, if there are any"),
        flag("is_subfield", "Whether the field is part of another one; null if not"),
        json("subfields", "Parts of the field, if it has any"),
        timestamp("add_time", "When the field was created (UTC)"),
        timestamp("update_time", "When the field last changed (UTC)"),
    ),
    streams=(offset_list("/leadFields"),),
    references=references(created_by_user_id="users", last_updated_by_user_id="users"),
)

NOTE_FIELDS = EntitySpec(
    name="note_fields",
    description="Definitions of the note fields.",
    group="fields",
    tier=Tier.HOURLY,
    key=("key",),
    columns=_V1_FIELD,
    streams=(whole_list("/noteFields"),),
)

SPECS = (
    DEAL_FIELDS,
    PERSON_FIELDS,
    ORGANIZATION_FIELDS,
    PRODUCT_FIELDS,
    ACTIVITY_FIELDS,
    PROJECT_FIELDS,
    LEAD_FIELDS,
    NOTE_FIELDS,
)
