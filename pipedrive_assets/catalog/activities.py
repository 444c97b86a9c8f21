"""Activities, their types, and call logs."""

from __future__ import annotations

from pipedrive_assets.catalog.columns import date, flag, integer, json, names, references, text, timestamp
from pipedrive_assets.catalog.spec import EntitySpec, Incremental, Tier
from pipedrive_assets.catalog.streams import V2_SORT, cursor_list, offset_list, whole_list

_OPTIONAL = (json("attendees", "Attendees invited by e-mail: name, address, answer, person, user"),)

ACTIVITIES = EntitySpec(
    name="activities",
    description="Calls, meetings, tasks and whatever else is planned or done with a record.",
    group="activities",
    tier=Tier.CORE,
    key=("id",),
    update_column="update_time",
    columns=(
        integer("id", "Id of the activity", required=True),
        text("subject", "Subject of the activity"),
        text("type", "Kind of activity: `key_string` of its activity type"),
        integer("owner_id", "Id of the user who owns the activity"),
        integer("creator_user_id", "Id of the user who created the activity"),
        integer("deal_id", "Id of the linked deal"),
        text("lead_id", "UUID of the linked lead"),
        integer("person_id", "Id of the linked person, the primary participant"),
        integer("org_id", "Id of the linked organization"),
        integer("project_id", "Id of the linked project"),
        date("due_date", "Day on which the activity is due (UTC)"),
        text("due_time", "Time of day at which the activity is due, HH:MM or HH:MM:SS (UTC)"),
        text("duration", "Length of the activity, HH:MM or HH:MM:SS"),
        flag("busy", "Whether the activity shows its owner as busy"),
        flag("done", "Whether the activity is done"),
        timestamp("marked_as_done_time", "When the activity was marked as done (UTC)"),
        integer("priority", "Priority, an option id of the activity field `priority`"),
        integer("outcome", "Outcome, an option id of the activity field `outcome`"),
        json("location", "Place of the activity, in parts"),
        json("participants", "Persons who take part, and which one is primary"),
        text("conference_meeting_client", "Software of the online meeting"),
        text("conference_meeting_url", "Address of the online meeting"),
        text("conference_meeting_id", "Id of the online meeting"),
        text("public_description", "Description that attendees see, in HTML"),
        text("note", "Note of the activity, in HTML"),
        flag("is_deleted", "Whether the activity is deleted"),
        timestamp("add_time", "When the activity was created (UTC)"),
        timestamp("update_time", "When the activity last changed (UTC)"),
        *_OPTIONAL,
    ),
    streams=(
        cursor_list(
            "/activities",
            incremental=Incremental.WINDOW,
            params=(("include_fields", names(_OPTIONAL)),),
            sort_fields=(*V2_SORT, "due_date"),
        ),
    ),
    references=references(
        owner_id="users",
        creator_user_id="users",
        deal_id="deals",
        lead_id="leads",
        person_id="persons",
        org_id="organizations",
        project_id="projects",
    ),
)

ACTIVITY_TYPES = EntitySpec(
    name="activity_types",
    description="Kinds of activity, built-in and custom.",
    group="activities",
    tier=Tier.DAILY,
    key=("id",),
    update_column="update_time",
    columns=(
        integer("id", "Id of the activity type", required=True),
        text("name", "Name of the activity type", required=True),
        text("key_string", "Key that activities carry in `type`"),
        text("icon_key", "Name of the icon"),
        text("color", "Colour, six hexadecimal digits"),
        integer("order_nr", "Position among the types"),
        flag("active_flag", "Whether the type is in use"),
        flag("is_custom_flag", "Whether the type is the company's own"),
        timestamp("add_time", "When the type was created (UTC)"),
        timestamp("update_time", "When the type last changed (UTC)"),
    ),
    streams=(whole_list("/activityTypes"),),
)

CALL_LOGS = EntitySpec(
    name="call_logs",
    description="Phone calls logged by the user whose token asks (needs the phone integration scope).",
    group="activities",
    tier=Tier.DAILY,
    key=("id",),
    columns=(
        text("id", "Id of the call log", required=True),
        integer("user_id", "Id of the user who owns the call log"),
        integer("activity_id", "Id of the activity the call belongs to"),
        integer("person_id", "Id of the person the call was with"),
        integer("org_id", "Id of the organization the call was with"),
        integer("deal_id", "Id of the deal the call was about"),
        text("lead_id", "UUID of the lead the call was about"),
        text("subject", "Name of the activity the call belongs to"),
        integer("duration", "Length of the call, in seconds"),
        text("outcome", "connected, no_answer, left_message, left_voicemail, wrong_number or busy"),
        text("from_phone_number", "Number that called"),
        text("to_phone_number", "Number called"),
        timestamp("start_time", "When the call began (UTC)"),
        timestamp("end_time", "When the call ended (UTC)"),
        text("note", "Note on the call, in HTML"),
        flag("has_recording", "Whether a recording is attached"),
        integer("company_id", "Id of the owner's company"),
    ),
    streams=(offset_list("/callLogs", page_max=50),),
    references=references(
        user_id="users",
        activity_id="activities",
        person_id="persons",
        org_id="organizations",
        deal_id="deals",
        lead_id="leads",
    ),
)

SPECS = (ACTIVITY_TYPES, ACTIVITIES, CALL_LOGS)
