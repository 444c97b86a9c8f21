"""Followers and changelogs: the lists that deals, persons, organizations and products have alike."""

from __future__ import annotations

from pipedrive_assets.catalog.columns import flag, integer, parent_id, references, text, timestamp
from pipedrive_assets.catalog.spec import Column, ColumnType, Computed, EntitySpec, PerParent, Tier, Version
from pipedrive_assets.catalog.streams import cursor_list


def followers(parent: str, noun: str, *, group: str, counter: str | None = "followers_count") -> EntitySpec:
    """Users who follow records of ``parent``; ``counter`` is the parent's count of them, if any."""
    column = f"{'org' if noun == 'organization' else noun}_id"
    return EntitySpec(
        name=f"{noun}_followers",
        description=f"Users who follow {parent}.",
        group=group,
        tier=Tier.ON_DEMAND,
        key=(column, "user_id"),
        default=False,
        columns=(
            parent_id(column, f"Id of the {noun} that is followed"),
            integer("user_id", "Id of the user who follows", required=True),
            timestamp("add_time", "When the user began to follow (UTC)"),
        ),
        streams=(
            cursor_list(
                f"/{parent}/{{id}}/followers",
                fan=PerParent(parent, "{id}", only_where_positive=counter),
            ),
        ),
        references=references(**{column: parent, "user_id": "users"}),
    )


def changelog(parent: str, noun: str, *, group: str) -> EntitySpec:
    """Field-by-field changes of records of ``parent``; an entry has no id, so its content is its key."""
    column = f"{'org' if noun == 'organization' else noun}_id"
    return EntitySpec(
        name=f"{noun}_changelog",
        description=f"Every change of a field of {parent}: who, when, from what, to what.",
        group=group,
        tier=Tier.ON_DEMAND,
        key=("change_id",),
        update_column="time",
        default=False,
        columns=(
            Column(
                "change_id",
                ColumnType.TEXT,
                f"Hash of the {noun}'s id and the entry, which has no id of its own",
                required=True,
                computed=Computed.CONTENT_HASH,
            ),
            parent_id(column, f"Id of the {noun} that changed"),
            text("field_key", "Key of the field that changed; a 40-character hash for custom fields"),
            text("old_value", "Value before the change, as text"),
            text("new_value", "Value after the change, as text"),
            integer("actor_user_id", "Id of the user who made the change"),
            timestamp("time", "When the change was made (UTC)"),
            text("change_source", "Where the change was made: app, mobile, api, …"),
            text("change_source_user_agent", "User agent from which the change was made"),
            flag("is_bulk_update_flag", "Whether the change was part of a bulk update"),
        ),
        streams=(
            cursor_list(
                f"/{parent}/{{id}}/changelog",
                token_cost=20,
                version=Version.V1,
                fan=PerParent(parent, "{id}"),
            ),
        ),
        references=references(**{column: parent, "actor_user_id": "users"}),
    )
