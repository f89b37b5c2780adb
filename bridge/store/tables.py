"""Every table, as SQLAlchemy Core metadata; `migrations/` brings a database to this shape.

Times are aware UTC. Ids of ours are random text, except jobs, whose growing number is their order. Anything
that belongs to a Slack workspace carries its team, so that a second workspace needs no new columns.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in and out; text of fixed width on SQLite, so that comparing works there, too."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times; hand SQLite the naive UTC value that its text form is made from."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime reached the database")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return an aware time."""
        if value is None:
            return None
        assert isinstance(value, datetime)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)

BigId = BigInteger().with_variant(Integer, "sqlite")

jobs = Table(
    "jobs",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("kind", String(40), nullable=False),
    Column("args", Text, nullable=False),
    Column("lane", Text),
    Column("lane_order", BigInteger, nullable=False),
    Column("target", Text, comment="what has to be up for it: see pauses"),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("state", String(12), nullable=False, server_default="available"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("max_attempts", Integer, nullable=False, server_default="8"),
    Column("scheduled_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("attempted_at", UtcDateTime),
    Column("lease_until", UtcDateTime),
    Column("worker", String(64)),
    Column("finished_at", UtcDateTime),
    Column("unique_key", Text, unique=True),
    Column("reason", Text),
    Index(
        "ix_jobs_ready",
        "priority",
        "scheduled_at",
        "id",
        sqlite_where=text("state = 'available'"),
        postgresql_where=text("state = 'available'"),
    ),
    Index(
        "ix_jobs_lane",
        "lane",
        "lane_order",
        "id",
        sqlite_where=text("state in ('available', 'running')"),
        postgresql_where=text("state in ('available', 'running')"),
    ),
    # One at a time within a lane, whatever the claimers do.
    Index(
        "uq_jobs_lane_running",
        "lane",
        unique=True,
        sqlite_where=text("state = 'running'"),
        postgresql_where=text("state = 'running'"),
    ),
    Index(
        "ix_jobs_running",
        "lease_until",
        sqlite_where=text("state = 'running'"),
        postgresql_where=text("state = 'running'"),
    ),
    Index("ix_jobs_finished", "state", "finished_at"),
)

pauses = Table(
    "pauses",
    metadata,
    Column("target", Text, primary_key=True),
    Column("since", UtcDateTime, nullable=False),
    Column("probe_at", UtcDateTime, nullable=False),
    Column("probes", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    comment="Targets that are away (project:ID, team:ID, channel:TEAM:ID): one probe at a time",
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("subject", String(80), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Index("ix_attempts_subject", "subject", "id"),
    comment="What was tried: job:ID, delivery:ID, intent:ID, with time, attempt and reason",
)

kept_bodies = Table(
    "kept_bodies",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("project_id", Text, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("body", Text, nullable=False),
    comment="Webhook bodies that could not be read, kept aside for a look",
)

accounts = Table(
    "accounts",
    metadata,
    Column("key", String(120), primary_key=True),
    Column("token", Text),
    Column("expires_at", UtcDateTime),
    Column("renew_at", UtcDateTime),
    Column("holder", String(64)),
    Column("held_until", UtcDateTime),
    Column("problem", Text),
    Column("updated_at", UtcDateTime, nullable=False),
    comment="Encrypted Jollor tokens, one row per user account or project; holder renews alone",
)

teams = Table(
    "teams",
    metadata,
    Column("team", String(32), primary_key=True),
    Column("name", Text),
    Column("bot_id", String(32)),
    Column("bot_user_id", String(32)),
    Column("app_id", String(32)),
    Column("problem", Text),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("reads", String(12), comment="full, restricted: how much Slack lets us read, as far as seen"),
    comment="What auth.test said of each workspace",
)

team_admins = Table(
    "team_admins",
    metadata,
    Column("team", String(32), primary_key=True),
    Column("user_id", String(32), primary_key=True),
    Column("added_by", String(32), nullable=False),
    Column("added_at", UtcDateTime, nullable=False),
    comment="People who may link and unlink besides the workspace's admins",
)

projects = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("problem", Text),
    Column("posts_known_at", UtcDateTime, comment="since when unseen posts in the inbox are new ones"),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("lost_told_at", UtcDateTime, comment="when people were last told that webhooks get lost"),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("secret", Text, nullable=False, comment="encrypted"),
    Column("callback_url", Text),
    Column("status", Text),
    Column("last_event_at", UtcDateTime),
    Column("is_foreign", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("usual_gap_s", Float, comment="how long it is usually silent, in seconds"),
)

webhook_tests = Table(
    "webhook_tests",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("project_id", Text, nullable=False),
    Column("object_type", Text, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("outcome", String(10), comment="arrived, lost, refused; null: not known yet"),
    Column("job_id", BigId, comment="the delivery that was let go as this test's"),
    Index("ix_webhook_tests_project", "project_id", "asked_at"),
    comment="Test deliveries that Jollor was asked for: counted, never shown",
)

links = Table(
    "links",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("team", String(32), nullable=False),
    Column("project_id", Text, nullable=False),
    Column("channel_id", String(32), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("linked_at", UtcDateTime, nullable=False),
    Column("linked_by", String(32)),
    Column("unlinked_at", UtcDateTime),
    Column("undo_window_s", Float),
    Column("problem", Text),
    UniqueConstraint("team", "project_id", "channel_id", "kind"),
    Index("ix_links_project", "project_id"),
)

threads = Table(
    "threads",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("team", String(32), nullable=False),
    Column("channel_id", String(32), nullable=False),
    Column("project_id", Text, nullable=False),
    Column("target_kind", String(12), nullable=False),
    Column("target_id", Text, nullable=False),
    Column("root_ts", String(32)),
    Column("root_delivery", String(16)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("joined_at", UtcDateTime),
    Column("active_at", UtcDateTime),
    Column("internal_told", Boolean, nullable=False, server_default=text("false")),
    Column("refused_told", Boolean, nullable=False, server_default=text("false")),
    UniqueConstraint("team", "channel_id", "project_id", "target_kind", "target_id"),
    Index("ix_threads_root", "team", "channel_id", "root_ts"),
    Index("ix_threads_target", "project_id", "target_kind", "target_id"),
)

former_roots = Table(
    "former_roots",
    metadata,
    Column("team", String(32), primary_key=True),
    Column("channel_id", String(32), primary_key=True),
    Column("root_ts", String(32), primary_key=True),
    Column("thread_id", String(16), nullable=False),
    comment="Roots that were deleted and continued elsewhere; replies under them are still understood",
)

conversations = Table(
    "conversations",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("conversation_id", Text, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("customer", Text, nullable=False),
    Column("state", String(10), nullable=False, server_default="new"),
    Column("mark", UtcDateTime, comment="sent_at of the newest message seen"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("looked_at", UtcDateTime, comment="when its messages were last listed"),
)

messages = Table(
    "messages",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("conversation_id", Text, nullable=False),
    Column("is_incoming", Boolean, nullable=False),
    Column("origin", String(10), nullable=False, comment="customer, team, elsewhere, before"),
    Column("sender", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("sent_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("intent_id", String(16)),
    Column("job_id", BigId, comment="the job that read it"),
    Column("cause", String(40), comment="what told of it: the webhook's event type, sweep, list ..."),
    Column("heard_at", UtcDateTime, comment="when it was told of"),
    Index("ix_messages_conversation", "project_id", "conversation_id", "sent_at"),
)

told_unread = Table(
    "told_unread",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("conversation_id", Text, primary_key=True),
    Column("told_at", UtcDateTime, nullable=False),
    comment="Conversations of which people were told that they cannot be read, and when",
)

held_messages = Table(
    "held_messages",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("conversation_id", Text, nullable=False),
    Column("held_at", UtcDateTime, nullable=False),
    comment="Outgoing messages seen while a reply of ours was in flight: whose they are is not known yet",
)

dialogues = Table(
    "dialogues",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("dialogue_id", Text, primary_key=True),
    Column("conversation_id", Text, nullable=False),
    comment="Where a dialogue belongs: some of its events do not say",
)

told = Table(
    "told",
    metadata,
    Column("team", String(32), primary_key=True),
    Column("user_id", String(32), primary_key=True),
    Column("topic", String(60), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    comment="Explanations that a person got already",
)

posts = Table(
    "posts",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("post_id", Text, primary_key=True),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("label", String(10), nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", BigId, primary_key=True, autoincrement=True),
    Column("id", String(16), nullable=False, unique=True),
    Column("team", String(32), nullable=False),
    Column("channel_id", String(32), nullable=False),
    Column("act", String(12), nullable=False, comment="post, update, delete, add_mark, remove_mark"),
    Column("kind", String(16), nullable=False),
    Column("thread_id", String(16), comment="the post goes under this thread's root, or is its root"),
    Column("is_root", Boolean, nullable=False, server_default=text("false")),
    Column("line_ts", String(32), comment="the Slack message that an update, mark or notice is about"),
    Column("mark", String(24)),
    Column("content", Text),
    Column("also_to_channel", Boolean, nullable=False, server_default=text("false")),
    Column("priority", Integer, nullable=False),
    Column("lane", Text, comment="posts of one thread keep their order: rank, then seq"),
    Column("rank", Integer, nullable=False, comment="0: a root, which goes first; 1: all else"),
    Column("target", Text, nullable=False, comment="what has to be up for it: see pauses"),
    Column("bucket", Text, nullable=False, comment="rate bucket that a claim must find open"),
    Column("team_bucket", Text, comment="a second, wider one"),
    Column("state", String(10), nullable=False, server_default="ready"),
    Column("in_doubt", Boolean, nullable=False, server_default=text("false")),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("scheduled_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime, comment="when the attempt in doubt, or the last one, began"),
    Column("lease_until", UtcDateTime),
    Column("worker", String(64)),
    Column("finished_at", UtcDateTime),
    Column("slack_ts", String(32)),
    Column("reason", Text),
    Column("merge_key", Text, comment="a waiting update with the same key is replaced, not added to"),
    Column("joined_into", String(16), comment="the delivery within whose post this one goes out"),
    Column("alone", Boolean, nullable=False, server_default=text("false"), comment="not to be joined"),
    Index(
        "ix_deliveries_ready",
        "bucket",
        "priority",
        "seq",
        sqlite_where=text("state in ('ready', 'uncertain')"),
        postgresql_where=text("state in ('ready', 'uncertain')"),
    ),
    Index(
        "ix_deliveries_due",
        "scheduled_at",
        sqlite_where=text("state in ('ready', 'uncertain')"),
        postgresql_where=text("state in ('ready', 'uncertain')"),
    ),
    Index(
        "ix_deliveries_lane",
        "lane",
        "rank",
        "seq",
        sqlite_where=text("state in ('ready', 'sending', 'uncertain')"),
        postgresql_where=text("state in ('ready', 'sending', 'uncertain')"),
    ),
    Index(
        "ix_deliveries_sending",
        "lease_until",
        sqlite_where=text("state = 'sending'"),
        postgresql_where=text("state = 'sending'"),
    ),
    Index(
        "uq_deliveries_merge",
        "merge_key",
        unique=True,
        sqlite_where=text("state = 'ready'"),
        postgresql_where=text("state = 'ready'"),
    ),
    Index("ix_deliveries_slack_ts", "team", "channel_id", "slack_ts"),
    Index("ix_deliveries_finished", "state", "finished_at"),
    Index(
        "ix_deliveries_joined_into",
        "joined_into",
        sqlite_where=text("joined_into is not null"),
        postgresql_where=text("joined_into is not null"),
    ),
    # What was done about a line or a message of ours: its marks, drawings and notices.
    Index(
        "ix_deliveries_line",
        "team",
        "channel_id",
        "line_ts",
        sqlite_where=text("line_ts is not null"),
        postgresql_where=text("line_ts is not null"),
    ),
)

shown_messages = Table(
    "shown_messages",
    metadata,
    Column("delivery_id", String(16), primary_key=True),
    Column("project_id", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("part", Integer, primary_key=True),
    Index("ix_shown_messages_message", "project_id", "message_id"),
    comment="Which delivery shows which message (or part of it); several may share one",
)

floods = Table(
    "floods",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("thread_id", String(16), nullable=False),
    Column("summary", Text, nullable=False, comment="what its notice says of it"),
    Column("folded", Integer, nullable=False, comment="how many messages are not shown by themselves"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("loaded_at", UtcDateTime),
    Column("loaded_by", String(32)),
    comment="Many messages of a conversation that were found at once",
)

folded_lines = Table(
    "folded_lines",
    metadata,
    Column("flood_id", String(16), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("part", Integer, nullable=False),
    Column("content", Text, nullable=False),
    comment="Lines of a flood that wait for somebody to load them",
)

buckets = Table(
    "buckets",
    metadata,
    Column("key", Text, primary_key=True),
    Column("next_at", UtcDateTime, nullable=False),
)

delays = Table(
    "delays",
    metadata,
    Column("team", String(32), primary_key=True),
    Column("channel_id", String(32), primary_key=True),
    Column("since", UtcDateTime, nullable=False),
    Column("waiting", Integer, nullable=False, comment="what the notice says"),
    Column("told_at", UtcDateTime, nullable=False),
    Column("delivery_id", String(16), comment="the notice"),
    comment="Channels that are behind, and the one notice in each that says so",
)

lines = Table(
    "lines",
    metadata,
    Column("team", String(32), primary_key=True),
    Column("channel_id", String(32), primary_key=True),
    Column("ts", String(32), primary_key=True),
    Column("client_msg_id", Text),
    Column("thread_id", String(16)),
    Column("user_id", String(32), nullable=False),
    Column("fate", String(12), nullable=False, comment="internal, reply, refused, ignored"),
    Column("text", Text, nullable=False),
    Column("intent_id", String(16)),
    Column("edited_ts", String(32)),
    Column("deleted", Boolean, nullable=False, server_default=text("false")),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("mark", String(24)),
    Column("received_at", UtcDateTime, comment="when Slack told of it"),
    Column("job_id", BigId, comment="the job that dealt with it"),
    Column("reason", Text, comment="why it was refused, as said to its writer"),
    UniqueConstraint("team", "channel_id", "client_msg_id"),
    comment="Human lines in linked threads and what became of them",
)

intents = Table(
    "intents",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("team", String(32), nullable=False),
    Column("channel_id", String(32), nullable=False),
    Column("ts", String(32), nullable=False),
    Column("thread_id", String(16), nullable=False),
    Column("project_id", Text, nullable=False),
    Column("target_kind", String(12), nullable=False),
    Column("target_id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("author", String(32), nullable=False),
    Column("text", Text, nullable=False),
    Column("state", String(10), nullable=False, server_default="pending"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("sent_at", UtcDateTime),
    Column("deadline", UtcDateTime, comment="no answer can come after this; a successor looks only then"),
    Column("finished_at", UtcDateTime),
    Column("jollor_id", Text),
    Column("snapshot", Text, comment="JSON list of the message ids that existed before sending"),
    Column("looks", Integer, nullable=False, server_default="0"),
    Column("reason", Text),
    Column("asked_at", UtcDateTime, comment="when people were asked to decide"),
    Column("decided_by", String(32)),
    Column("decision", String(16)),
    Column("held_for", String(40), comment="doubt:ID, collision, late: why a person decides"),
    Column("first_sent_at", UtcDateTime, comment="of several attempts the first"),
    Column("doubled", Boolean, nullable=False, server_default=text("false")),
    Column("corrects", String(16), comment="the reply that this one corrects; its line is then our note"),
    UniqueConstraint("team", "channel_id", "ts"),
    # One Jollor message settles one intent, across teams.
    UniqueConstraint("project_id", "jollor_id"),
    Index("ix_intents_target", "project_id", "target_kind", "target_id", "state"),
    Index("ix_intents_corrects", "corrects"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("team", String(32), nullable=False),
    Column("channel_id", String(32), nullable=False),
    Column("project_id", Text, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("count", Integer, nullable=False, server_default="1"),
    Column("delivery_id", String(16)),
    Column("reminded_at", UtcDateTime, nullable=False),
    Column("cleared_at", UtcDateTime),
    Column("cleared_by", String(32)),
    Index(
        "uq_alerts_open",
        "team",
        "channel_id",
        "project_id",
        "kind",
        unique=True,
        sqlite_where=text("cleared_at is null"),
        postgresql_where=text("cleared_at is null"),
    ),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
)

effects = Table(
    "effects",
    metadata,
    Column("job_id", BigId, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    comment="Jobs whose effect is recorded: one that runs again after a crash has no second one",
)

channels_read = Table(
    "channels_read",
    metadata,
    Column("team", String(32), primary_key=True),
    Column("channel_id", String(32), primary_key=True),
    Column("read_to", UtcDateTime, nullable=False),
    comment="Until when each channel was looked through for lines that no event told of",
)

outages = Table(
    "outages",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("began_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime, nullable=False),
    UniqueConstraint("began_at"),
    comment="When no worker of the bridge was there",
)

lost_webhooks = Table(
    "lost_webhooks",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("object", Text, primary_key=True, comment="message:ID or post:ID"),
    Column("found_at", UtcDateTime, nullable=False),
    Column("counted_at", UtcDateTime, comment="when it was too late for its webhook to be merely late"),
    Index("ix_lost_webhooks_counted", "project_id", "counted_at"),
    comment="What only a sweep has found",
)

counters = Table(
    "counters",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("value", BigInteger, nullable=False),
    comment="Totals that outlive a process and are shared by all of them",
)
