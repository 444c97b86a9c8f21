"""Notes, their comments, and files: what people attach to other records."""

from __future__ import annotations

from pipedrive_assets.catalog.columns import flag, integer, json, references, text, timestamp
from pipedrive_assets.catalog.spec import EntitySpec, Incremental, PerParent, Tier
from pipedrive_assets.catalog.streams import offset_list

_OWNERS = references(
    deal_id="deals",
    lead_id="leads",
    person_id="persons",
    org_id="organizations",
    project_id="projects",
)

NOTES = EntitySpec(
    name="notes",
    description="Notes on deals, leads, persons, organizations, projects and tasks.",
    group="notes",
    tier=Tier.CORE,
    key=("id",),
    update_column="update_time",
    columns=(
        integer("id", "Id of the note", required=True),
        text("content", "Text of the note, in HTML"),
        integer("user_id", "Id of the user who wrote the note"),
        integer("last_update_user_id", "Id of the user who last changed the note"),
        integer("deal_id", "Id of the deal the note is on"),
        text("lead_id", "UUID of the lead the note is on"),
        integer("person_id", "Id of the person the note is on"),
        integer("org_id", "Id of the organization the note is on"),
        integer("project_id", "Id of the project the note is on"),
        integer("task_id", "Id of the task the note is on"),
        json("user", "Name, e-mail and icon of the author"),
        json("deal", "Title of the deal"),
        json("person", "Name of the person"),
        json("organization", "Name of the organization"),
        json("project", "Title of the project"),
        json("task", "Title of the task"),
        flag("active_flag", "Whether the note is active; false once it is deleted"),
        flag("pinned_to_deal_flag", "Whether the note is pinned to its deal"),
        flag("pinned_to_lead_flag", "Whether the note is pinned to its lead"),
        flag("pinned_to_person_flag", "Whether the note is pinned to its person"),
        flag("pinned_to_organization_flag", "Whether the note is pinned to its organization"),
        flag("pinned_to_project_flag", "Whether the note is pinned to its project"),
        flag("pinned_to_task_flag", "Whether the note is pinned to its task"),
        timestamp("add_time", "When the note was created (UTC)"),
        timestamp("update_time", "When the note last changed (UTC)"),
    ),
    streams=(
        offset_list(
            "/notes",
            incremental=Incremental.SINCE,
            sort_fields=(
                "id",
                "user_id",
                "deal_id",
                "person_id",
                "org_id",
                "content",
                "add_time",
                "update_time",
            ),
        ),
    ),
    references=(*_OWNERS, *references(task_id="tasks", user_id="users", last_update_user_id="users")),
)

NOTE_COMMENTS = EntitySpec(
    name="note_comments",
    description="Comments below notes.",
    group="notes",
    tier=Tier.ON_DEMAND,
    key=("uuid",),
    update_column="update_time",
    default=False,
    columns=(
        text("uuid", "UUID of the comment", required=True),
        integer("object_id", "Id of the note the comment is on", required=True),
        text("object_type", "Kind of record the comment is on: note"),
        text("content", "Text of the comment, in HTML"),
        integer("user_id", "Id of the user who wrote the comment"),
        integer("updater_id", "Id of the user who last changed the comment"),
        integer("company_id", "Id of the company"),
        flag("active_flag", "Whether the comment is active; false once it is deleted"),
        timestamp("add_time", "When the comment was created (UTC)"),
        timestamp("update_time", "When the comment last changed (UTC)"),
    ),
    streams=(
        offset_list(
            "/notes/{id}/comments",
            fan=PerParent("notes", "{id}"),
        ),
    ),
    references=references(object_id="notes", user_id="users", updater_id="users"),
)

FILES = EntitySpec(
    name="files",
    description="Files attached to records: names, sizes and places, not their content.",
    group="notes",
    tier=Tier.HOURLY,
    key=("id",),
    update_column="update_time",
    columns=(
        integer("id", "Id of the file", required=True),
        text("name", "Visible name of the file"),
        text("file_name", "Original name of the file"),
        text("file_type", "Kind of the file, such as img or pdf"),
        integer("file_size", "Size of the file, in bytes"),
        text("description", "Description of the file"),
        text("url", "Address from which the content can be downloaded with a token"),
        integer("user_id", "Id of the user the file belongs to"),
        integer("deal_id", "Id of the deal the file is attached to"),
        text("lead_id", "UUID of the lead the file is attached to"),
        integer("person_id", "Id of the person the file is attached to"),
        integer("org_id", "Id of the organization the file is attached to"),
        integer("product_id", "Id of the product the file is attached to"),
        integer("activity_id", "Id of the activity the file is attached to"),
        integer("project_id", "Id of the project the file is attached to"),
        integer("log_id", "Id of the log entry the file belongs to"),
        text("mail_message_id", "Id of the mail message the file is attached to"),
        text("mail_template_id", "Id of the mail template the file is attached to"),
        text("deal_name", "Title of the deal"),
        text("lead_name", "Title of the lead"),
        text("person_name", "Name of the person"),
        text("org_name", "Name of the organization"),
        text("product_name", "Name of the product"),
        text("project_name", "Title of the project"),
        flag("active_flag", "Whether the file is active; false once it is deleted"),
        flag("inline_flag", "Whether the file was uploaded as part of a text"),
        text("remote_location", "Where a remote file lives, such as googledrive"),
        text("remote_id", "Id of a remote file at its place"),
        text("cid", "Id of an inline attachment"),
        text("s3_bucket", "Bucket of the cloud storage"),
        timestamp("add_time", "When the file was added (UTC)"),
        timestamp("update_time", "When the file last changed (UTC)"),
    ),
    streams=(
        offset_list(
            "/files",
            page_max=100,
            incremental=Incremental.SORT_STOP,
            sort_fields=("id", "update_time"),
        ),
    ),
    references=(
        *_OWNERS,
        *references(user_id="users", product_id="products", activity_id="activities"),
    ),
)

SPECS = (NOTES, NOTE_COMMENTS, FILES)
