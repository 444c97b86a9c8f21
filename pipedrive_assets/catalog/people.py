"""Persons and organizations, and the relationships between organizations."""

from __future__ import annotations

from pipedrive_assets.catalog.changes import changelog, followers
from pipedrive_assets.catalog.columns import (
    counts,
    date,
    flag,
    integer,
    json,
    names,
    parent_id,
    references,
    text,
    timestamp,
)
from pipedrive_assets.catalog.spec import CustomFields, EntitySpec, Incremental, PerParent, Tier
from pipedrive_assets.catalog.streams import V2_SORT, cursor_list, whole_list

_PERSON_OPTIONAL = (
    integer("next_activity_id", "Id of the next activity still to be done with the person"),
    integer("last_activity_id", "Id of the last activity done with the person"),
    *counts(
        "the person",
        open_deals="open deals of",
        related_open_deals="open deals related through others to",
        closed_deals="closed deals of",
        related_closed_deals="closed deals related through others to",
        participant_open_deals="open deals in whose participants there is",
        participant_closed_deals="closed deals in whose participants there is",
        email_messages="e-mail messages linked to",
        activities="activities of",
        done_activities="activities done with",
        undone_activities="activities still to be done with",
        files="files attached to",
        notes="notes on",
        followers="users who follow",
        won_deals="won deals of",
        related_won_deals="won deals related through others to",
        lost_deals="lost deals of",
        related_lost_deals="lost deals related through others to",
    ),
    timestamp("last_incoming_mail_time", "When the last e-mail from the person came in (UTC)"),
    timestamp("last_outgoing_mail_time", "When the last e-mail to the person was sent (UTC)"),
    text("marketing_status", "no_consent, unsubscribed, subscribed or archived (with Campaigns only)"),
    json("doi_status", "Double opt-in status, of undocumented type (with Campaigns only)"),
    text("smart_bcc_email", "Address which, put in Bcc, files an e-mail under the person"),
)

PERSONS = EntitySpec(
    name="persons",
    description="People the company deals with.",
    group="contacts",
    tier=Tier.CORE,
    key=("id",),
    update_column="update_time",
    custom_fields=CustomFields.NESTED,
    columns=(
        integer("id", "Id of the person", required=True),
        text("name", "Full name of the person", required=True),
        text("first_name", "First name of the person"),
        text("last_name", "Last name of the person"),
        integer("owner_id", "Id of the user who owns the person"),
        integer("org_id", "Id of the organization the person belongs to"),
        json("emails", "E-mail addresses: value, label, and which one is primary"),
        json("phones", "Phone numbers: value, label, and which one is primary"),
        json("im", "Instant messaging accounts (with contact sync only)"),
        text("job_title", "Job title (with contact sync only)"),
        date("birthday", "Birthday (with contact sync only); zero dates of old records are null"),
        text("notes", "Notes from contact sync, up to 10,000 characters"),
        json("postal_address", "Postal address in parts (with contact sync only)"),
        integer("picture_id", "Id of the person's picture"),
        json("label_ids", "Ids of the person's labels (options of the persons' label field)"),
        integer("visible_to", "Visibility: 1 owner, 3 owner's group, 5 with sub-groups, 7 whole company"),
        flag("is_deleted", "Whether the person is deleted"),
        timestamp("add_time", "When the person was created (UTC)"),
        timestamp("update_time", "When the person last changed (UTC)"),
        *_PERSON_OPTIONAL,
    ),
    streams=(
        cursor_list(
            "/persons",
            incremental=Incremental.WINDOW,
            params=(("include_fields", names(_PERSON_OPTIONAL)),),
            sort_fields=V2_SORT,
            # "can only be included if the company has marketing app enabled" (OpenAPI v2, GET /persons).
            optional_fields=("marketing_status", "doi_status"),
        ),
    ),
    references=references(
        owner_id="users",
        org_id="organizations",
        next_activity_id="activities",
        last_activity_id="activities",
    ),
)

_ORGANIZATION_OPTIONAL = (
    integer("next_activity_id", "Id of the next activity still to be done with the organization"),
    integer("last_activity_id", "Id of the last activity done with the organization"),
    *counts(
        "the organization",
        open_deals="open deals of",
        related_open_deals="open deals related through others to",
        closed_deals="closed deals of",
        related_closed_deals="closed deals related through others to",
        email_messages="e-mail messages linked to",
        people="persons who belong to",
        activities="activities of",
        done_activities="activities done with",
        undone_activities="activities still to be done with",
        files="files attached to",
        notes="notes on",
        followers="users who follow",
        won_deals="won deals of",
        related_won_deals="won deals related through others to",
        lost_deals="lost deals of",
        related_lost_deals="lost deals related through others to",
    ),
    text("smart_bcc_email", "Address which, put in Bcc, files an e-mail under the organization"),
)

ORGANIZATIONS = EntitySpec(
    name="organizations",
    description="Companies and other organizations that persons and deals belong to.",
    group="contacts",
    tier=Tier.CORE,
    key=("id",),
    update_column="update_time",
    custom_fields=CustomFields.NESTED,
    columns=(
        integer("id", "Id of the organization", required=True),
        text("name", "Name of the organization", required=True),
        integer("owner_id", "Id of the user who owns the organization"),
        # Stands in the example of GET /organizations and nowhere else (reference section 6.1).
        integer("org_id", "Undocumented; seen in an example of the API only"),
        json("address", "Address in parts"),
        text("website", "Website (with that feature only)"),
        text("linkedin", "Address of the LinkedIn profile (with that feature only)"),
        integer("industry", "Industry, an option id of the organization field `industry`"),
        integer("annual_revenue", "Annual revenue (with that feature only)"),
        integer("employee_count", "Number of employees (with that feature only)"),
        integer("picture_id", "Id of the organization's picture"),
        json("label_ids", "Ids of the organization's labels (options of the organizations' label field)"),
        integer("visible_to", "Visibility: 1 owner, 3 owner's group, 5 with sub-groups, 7 whole company"),
        flag("is_deleted", "Whether the organization is deleted"),
        timestamp("add_time", "When the organization was created (UTC)"),
        timestamp("update_time", "When the organization last changed (UTC)"),
        *_ORGANIZATION_OPTIONAL,
    ),
    streams=(
        cursor_list(
            "/organizations",
            incremental=Incremental.WINDOW,
            params=(("include_fields", names(_ORGANIZATION_OPTIONAL)),),
            sort_fields=V2_SORT,
        ),
    ),
    references=references(owner_id="users", next_activity_id="activities", last_activity_id="activities"),
)

ORGANIZATION_RELATIONSHIPS = EntitySpec(
    name="organization_relationships",
    description="Relationships between organizations, once from the side of each.",
    group="contacts",
    tier=Tier.ON_DEMAND,
    # Both organizations list the relationship, each with its own `calculated_type`.
    key=("org_id", "id"),
    update_column="update_time",
    default=False,
    columns=(
        parent_id("org_id", "Id of the organization from whose side the relationship was listed"),
        integer("id", "Id of the relationship", required=True),
        text("type", "parent or related"),
        json("rel_owner_org_id", "The owning organization: `value` is its id, beside it name and address"),
        json("rel_linked_org_id", "The linked organization: `value` is its id, beside it name and address"),
        text("calculated_type", "The relationship seen from `org_id`: parent, daughter, related, …"),
        integer("calculated_related_org_id", "Id of the other organization, seen from `org_id`"),
        text("related_organization_name", "Name of the other organization"),
        flag("active_flag", "Whether the relationship is active"),
        timestamp("add_time", "When the relationship was created (UTC)"),
        timestamp("update_time", "When the relationship last changed (UTC)"),
    ),
    streams=(whole_list("/organizationRelationships", fan=PerParent("organizations", "org_id")),),
    references=references(org_id="organizations", calculated_related_org_id="organizations"),
)

PERSON_FOLLOWERS = followers("persons", "person", group="contacts")
ORGANIZATION_FOLLOWERS = followers("organizations", "organization", group="contacts")
PERSON_CHANGELOG = changelog("persons", "person", group="contacts")
ORGANIZATION_CHANGELOG = changelog("organizations", "organization", group="contacts")

CONTACTS = (ORGANIZATIONS, PERSONS)
CHILDREN = (
    ORGANIZATION_RELATIONSHIPS,
    ORGANIZATION_FOLLOWERS,
    ORGANIZATION_CHANGELOG,
    PERSON_FOLLOWERS,
    PERSON_CHANGELOG,
)
