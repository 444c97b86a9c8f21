"""Mail threads and messages of the user whose token asks."""

from __future__ import annotations

from pipedrive_assets.catalog.columns import flag, integer, json, references, text, timestamp
from pipedrive_assets.catalog.spec import EntitySpec, PerParent, Tier, Variants
from pipedrive_assets.catalog.streams import offset_list, whole_list

# Threads and messages share the head of the record in the shape of API v1; flags come as 0 and 1.
_HEAD = (
    text("account_id", "Id of the mail account's connection"),
    integer("user_id", "Id of the user whose mailbox it is"),
    text("subject", "Subject"),
    text("snippet", "First words of the text"),
    flag("read_flag", "Whether it was read"),
    text("mail_tracking_status", "Status of mail tracking"),
    flag("has_attachments_flag", "Whether there is an attachment"),
    flag("has_inline_attachments_flag", "Whether there is an inline attachment"),
    flag("has_real_attachments_flag", "Whether there is an attachment that is not inline"),
    flag("deleted_flag", "Whether it is deleted"),
    flag("synced_flag", "Whether it is synced with the mail account"),
    flag("smart_bcc_flag", "Whether it came in through the Bcc address"),
    flag("mail_link_tracking_enabled_flag", "Whether clicks on links are tracked"),
)

MAIL_THREADS = EntitySpec(
    name="mail_threads",
    description="Mail threads of the token's user, from inbox, drafts, sent and archive.",
    group="mail",
    tier=Tier.DAILY,
    key=("id",),
    update_column="update_time",
    columns=(
        integer("id", "Id of the mail thread", required=True),
        *_HEAD,
        json("parties", "Senders and receivers of the thread"),
        json("drafts_parties", "Senders and receivers of the thread's drafts"),
        json("folders", "Folders that hold messages of the thread"),
        integer("version", "Version of the thread, counted by Pipedrive"),
        text("snippet_draft", "First words of a draft"),
        text("snippet_sent", "First words of a sent message"),
        integer("message_count", "Number of messages in the thread"),
        flag("has_draft_flag", "Whether the thread has a draft"),
        flag("has_sent_flag", "Whether the thread has a sent message"),
        flag("archived_flag", "Whether the thread is archived"),
        flag("shared_flag", "Whether the thread is shared with the company"),
        flag("external_deleted_flag", "Whether the thread was deleted outside Pipedrive"),
        flag("first_message_to_me_flag", "Whether somebody else began the thread"),
        flag("all_messages_sent_flag", "Whether all messages of the thread were sent"),
        integer("deal_id", "Id of the linked deal"),
        text("deal_status", "Status of the linked deal"),
        text("lead_id", "UUID of the linked lead"),
        timestamp("first_message_timestamp", "When the first message was received or written (UTC)"),
        timestamp("last_message_timestamp", "When the last message was received or written (UTC)"),
        timestamp("last_message_sent_timestamp", "When the last message was sent (UTC)"),
        timestamp("last_message_received_timestamp", "When the last message was received (UTC)"),
        timestamp("add_time", "When the thread was stored by Pipedrive (UTC)"),
        timestamp("update_time", "When the thread last changed (UTC)"),
    ),
    streams=(
        offset_list(
            "/mailbox/mailThreads",
            # The limit is undocumented; 50 is known to work (reference section 4.2).
            page_max=50,
            fan=Variants(tuple((("folder", folder),) for folder in ("inbox", "drafts", "sent", "archive"))),
        ),
    ),
    references=references(user_id="users", deal_id="deals", lead_id="leads"),
)

MAIL_MESSAGES = EntitySpec(
    name="mail_messages",
    description="Messages of the mail threads, without their bodies.",
    group="mail",
    tier=Tier.ON_DEMAND,
    key=("id",),
    update_column="update_time",
    default=False,
    columns=(
        integer("id", "Id of the mail message", required=True),
        integer("mail_thread_id", "Id of the thread the message belongs to", required=True),
        *_HEAD,
        json("from", "Senders"),
        json("to", "Receivers"),
        json("cc", "Receivers of a copy"),
        json("bcc", "Receivers of a blind copy"),
        text("body_url", "Address from which the body can be fetched"),
        text("draft", "The draft as JSON text; null for other messages"),
        flag("draft_flag", "Whether the message is a draft"),
        flag("has_body_flag", "Whether the message has a body"),
        flag("sent_flag", "Whether the message was sent"),
        flag("sent_from_pipedrive_flag", "Whether the message was sent from Pipedrive"),
        timestamp("message_time", "When the message was received or written (UTC)"),
        timestamp("add_time", "When the message was stored by Pipedrive (UTC)"),
        timestamp("update_time", "When the message last changed (UTC)"),
    ),
    streams=(whole_list("/mailbox/mailThreads/{id}/mailMessages", fan=PerParent("mail_threads", "{id}")),),
    references=references(mail_thread_id="mail_threads", user_id="users"),
)

SPECS = (MAIL_THREADS, MAIL_MESSAGES)
