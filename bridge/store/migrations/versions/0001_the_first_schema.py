"""The first schema"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("token", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("renew_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("holder", sa.String(length=64), nullable=True),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_accounts")),
        comment="Encrypted Jollor tokens, one row per user account or project; holder renews alone",
    )
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("team", sa.String(length=32), nullable=False),
        sa.Column("channel_id", sa.String(length=32), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("count", sa.Integer(), server_default="1", nullable=False),
        sa.Column("delivery_id", sa.String(length=16), nullable=True),
        sa.Column("reminded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cleared_by", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_index(
        "uq_alerts_open",
        "alerts",
        ["team", "channel_id", "project_id", "kind"],
        unique=True,
        sqlite_where=sa.text("cleared_at is null"),
        postgresql_where=sa.text("cleared_at is null"),
    )
    op.create_table(
        "attempts",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        comment="What was tried: job:ID, delivery:ID, intent:ID, with time, attempt and reason",
    )
    op.create_index("ix_attempts_subject", "attempts", ["subject", "id"], unique=False)
    op.create_table(
        "buckets",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_buckets")),
    )
    op.create_table(
        "channels_read",
        sa.Column("team", sa.String(length=32), nullable=False),
        sa.Column("channel_id", sa.String(length=32), nullable=False),
        sa.Column("read_to", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("team", "channel_id", name=op.f("pk_channels_read")),
        comment="Until when each channel was looked through for lines that no event told of",
    )
    op.create_table(
        "conversations",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), server_default="new", nullable=False),
        sa.Column(
            "mark", sa.DateTime(timezone=True), nullable=True, comment="sent_at of the newest message seen"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "looked_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when its messages were last listed",
        ),
        sa.PrimaryKeyConstraint("project_id", "conversation_id", name=op.f("pk_conversations")),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
        comment="Totals that outlive a process and are shared by all of them",
    )
    op.create_table(
        "delays",
        sa.Column("team", sa.String(length=32), nullable=False),
        sa.Column("channel_id", sa.String(length=32), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=False, comment="what the notice says"),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delivery_id", sa.String(length=16), nullable=True, comment="the notice"),
        sa.PrimaryKeyConstraint("team", "channel_id", name=op.f("pk_delays")),
        comment="Channels that are behind, and the one notice in each that says so",
    )
    op.create_table(
        "deliveries",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("team", sa.String(length=32), nullable=False),
        sa.Column("channel_id", sa.String(length=32), nullable=False),
        sa.Column(
            "act", sa.String(length=12), nullable=False, comment="post, update, delete, add_mark, remove_mark"
        ),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column(
            "thread_id",
            sa.String(length=16),
            nullable=True,
            comment="the post goes under this thread's root, or is its root",
        ),
        sa.Column("is_root", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column(
            "line_ts",
            sa.String(length=32),
            nullable=True,
            comment="the Slack message that an update, mark or notice is about",
        ),
        sa.Column("mark", sa.String(length=24), nullable=True),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("also_to_channel", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column(
            "lane", sa.Text(), nullable=True, comment="posts of one thread keep their order: rank, then seq"
        ),
        sa.Column("rank", sa.Integer(), nullable=False, comment="0: a root, which goes first; 1: all else"),
        sa.Column("target", sa.Text(), nullable=False, comment="what has to be up for it: see pauses"),
        sa.Column("bucket", sa.Text(), nullable=False, comment="rate bucket that a claim must find open"),
        sa.Column("team_bucket", sa.Text(), nullable=True, comment="a second, wider one"),
        sa.Column("state", sa.String(length=10), server_default="ready", nullable=False),
        sa.Column("in_doubt", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("scheduled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "sent_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the attempt in doubt, or the last one, began",
        ),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker", sa.String(length=64), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("slack_ts", sa.String(length=32), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column(
            "merge_key",
            sa.Text(),
            nullable=True,
            comment="a waiting update with the same key is replaced, not added to",
        ),
        sa.Column(
            "joined_into",
            sa.String(length=16),
            nullable=True,
            comment="the delivery within whose post this one goes out",
        ),
        sa.Column(
            "alone",
            sa.Boolean(),
            server_default=sa.text("(false)"),
            nullable=False,
            comment="not to be joined",
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("id", name=op.f("uq_deliveries_id")),
    )
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["scheduled_at"],
        unique=False,
        sqlite_where=sa.text("state in ('ready', 'uncertain')"),
        postgresql_where=sa.text("state in ('ready', 'uncertain')"),
    )
    op.create_index("ix_deliveries_finished", "deliveries", ["state", "finished_at"], unique=False)
    op.create_index(
        "ix_deliveries_joined_into",
        "deliveries",
        ["joined_into"],
        unique=False,
        sqlite_where=sa.text("joined_into is not null"),
        postgresql_where=sa.text("joined_into is not null"),
    )
    op.create_index(
        "ix_deliveries_lane",
        "deliveries",
        ["lane", "rank", "seq"],
        unique=False,
        sqlite_where=sa.text("state in ('ready', 'sending', 'uncertain')"),
        postgresql_where=sa.text("state in ('ready', 'sending', 'uncertain')"),
    )
    op.create_index(
        "ix_deliveries_line",
        "deliveries",
        ["team", "channel_id", "line_ts"],
        unique=False,
        sqlite_where=sa.text("line_ts is not null"),
        postgresql_where=sa.text("line_ts is not null"),
    )
    op.create_index(
        "ix_deliveries_ready",
        "deliveries",
        ["bucket", "priority", "seq"],
        unique=False,
        sqlite_where=sa.text("state in ('ready', 'uncertain')"),
        postgresql_where=sa.text("state in ('ready', 'uncertain')"),
    )
    op.create_index(
        "ix_deliveries_sending",
        "deliveries",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("state = 'sending'"),
        postgresql_where=sa.text("state = 'sending'"),
    )
    op.create_index("ix_deliveries_slack_ts", "deliveries", ["team", "channel_id", "slack_ts"], unique=False)
    op.create_index(
        "uq_deliveries_merge",
        "deliveries",
        ["merge_key"],
        unique=True,
        sqlite_where=sa.text("state = 'ready'"),
        postgresql_where=sa.text("state = 'ready'"),
    )
    op.create_table(
        "dialogues",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("dialogue_id", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "dialogue_id", name=op.f("pk_dialogues")),
        comment="Where a dialogue belongs: some of its events do not say",
    )
    op.create_table(
        "effects",
        sa.Column(
            "job_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_effects")),
        comment="Jobs whose effect is recorded: one that runs again after a crash has no second one",
    )
    op.create_table(
        "floods",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("thread_id", sa.String(length=16), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False, comment="what its notice says of it"),
        sa.Column(
            "folded", sa.Integer(), nullable=False, comment="how many messages are not shown by themselves"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("loaded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("loaded_by", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_floods")),
        comment="Many messages of a conversation that were found at once",
    )
    op.create_table(
        "folded_lines",
        sa.Column("flood_id", sa.String(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("flood_id", "number", name=op.f("pk_folded_lines")),
        comment="Lines of a flood that wait for somebody to load them",
    )
    op.create_table(
        "former_roots",
        sa.Column("team", sa.String(length=32), nullable=False),
        sa.Column("channel_id", sa.String(length=32), nullable=False),
        sa.Column("root_ts", sa.String(length=32), nullable=False),
        sa.Column("thread_id", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("team", "channel_id", "root_ts", name=op.f("pk_former_roots")),
        comment="Roots that were deleted and continued elsewhere; replies under them are still understood",
    )
    op.create_table(
        "held_messages",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("held_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "message_id", name=op.f("pk_held_messages")),
        comment="Outgoing messages seen while a reply of ours was in flight: whose they are is not known yet",
    )
    op.create_table(
        "intents",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("team", sa.String(length=32), nullable=False),
        sa.Column("channel_id", sa.String(length=32), nullable=False),
        sa.Column("ts", sa.String(length=32), nullable=False),
        sa.Column("thread_id", sa.String(length=16), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("target_kind", sa.String(length=12), nullable=False),
        sa.Column("target_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=32), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), server_default="pending", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "deadline",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="no answer can come after this; a successor looks only then",
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("jollor_id", sa.Text(), nullable=True),
        sa.Column(
            "snapshot",
            sa.Text(),
            nullable=True,
            comment="JSON list of the message ids that existed before sending",
        ),
        sa.Column("looks", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column(
            "asked_at", sa.DateTime(timezone=True), nullable=True, comment="when people were asked to decide"
        ),
        sa.Column("decided_by", sa.String(length=32), nullable=True),
        sa.Column("decision", sa.String(length=16), nullable=True),
        sa.Column(
            "held_for",
            sa.String(length=40),
            nullable=True,
            comment="doubt:ID, collision, late: why a person decides",
        ),
        sa.Column(
            "first_sent_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="of several attempts the first",
        ),
        sa.Column("doubled", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column(
            "corrects",
            sa.String(length=16),
            nullable=True,
            comment="the reply that this one corrects; its line is then our note",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intents")),
        sa.UniqueConstraint("project_id", "jollor_id", name=op.f("uq_intents_project_id_jollor_id")),
        sa.UniqueConstraint("team", "channel_id", "ts", name=op.f("uq_intents_team_channel_id_ts")),
    )
    op.create_index("ix_intents_corrects", "intents", ["corrects"], unique=False)
    op.create_index(
        "ix_intents_target", "intents", ["project_id", "target_kind", "target_id", "state"], unique=False
    )
    op.create_table(
        "jobs",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("args", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=True),
        sa.Column("lane_order", sa.BigInteger(), nullable=False),
        sa.Column("target", sa.Text(), nullable=True, comment="what has to be up for it: see pauses"),
        sa.Column("priority", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.String(length=12), server_default="available", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("max_attempts", sa.Integer(), server_default="8", nullable=False),
        sa.Column("scheduled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker", sa.String(length=64), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unique_key", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("unique_key", name=op.f("uq_jobs_unique_key")),
    )
    op.create_index("ix_jobs_finished", "jobs", ["state", "finished_at"], unique=False)
    op.create_index(
        "ix_jobs_lane",
        "jobs",
        ["lane", "lane_order", "id"],
        unique=False,
        sqlite_where=sa.text("state in ('available', 'running')"),
        postgresql_where=sa.text("state in ('available', 'running')"),
    )
    op.create_index(
        "ix_jobs_ready",
        "jobs",
        ["priority", "scheduled_at", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'available'"),
        postgresql_where=sa.text("state = 'available'"),
    )
    op.create_index(
        "ix_jobs_running",
        "jobs",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index(
        "uq_jobs_lane_running",
        "jobs",
        ["lane"],
        unique=True,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_table(
        "kept_bodies",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kept_bodies")),
        comment="Webhook bodies that could not be read, kept aside for a look",
    )
    op.create_table(
        "lines",
        sa.Column("team", sa.String(length=32), nullable=False),
        sa.Column("channel_id", sa.String(length=32), nullable=False),
        sa.Column("ts", sa.String(length=32), nullable=False),
        sa.Column("client_msg_id", sa.Text(), nullable=True),
        sa.Column("thread_id", sa.String(length=16), nullable=True),
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("fate", sa.String(length=12), nullable=False, comment="internal, reply, refused, ignored"),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("intent_id", sa.String(length=16), nullable=True),
        sa.Column("edited_ts", sa.String(length=32), nullable=True),
        sa.Column("deleted", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mark", sa.String(length=24), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=True, comment="when Slack told of it"),
        sa.Column(
            "job_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=True,
            comment="the job that dealt with it",
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it was refused, as said to its writer"),
        sa.PrimaryKeyConstraint("team", "channel_id", "ts", name=op.f("pk_lines")),
        sa.UniqueConstraint(
            "team", "channel_id", "client_msg_id", name=op.f("uq_lines_team_channel_id_client_msg_id")
        ),
        comment="Human lines in linked threads and what became of them",
    )
    op.create_table(
        "links",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("team", sa.String(length=32), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("channel_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("linked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("linked_by", sa.String(length=32), nullable=True),
        sa.Column("unlinked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undo_window_s", sa.Float(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_links")),
        sa.UniqueConstraint(
            "team", "project_id", "channel_id", "kind", name=op.f("uq_links_team_project_id_channel_id_kind")
        ),
    )
    op.create_index("ix_links_project", "links", ["project_id"], unique=False)
    op.create_table(
        "lost_webhooks",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False, comment="message:ID or post:ID"),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "counted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it was too late for its webhook to be merely late",
        ),
        sa.PrimaryKeyConstraint("project_id", "object", name=op.f("pk_lost_webhooks")),
        comment="What only a sweep has found",
    )
    op.create_index("ix_lost_webhooks_counted", "lost_webhooks", ["project_id", "counted_at"], unique=False)
    op.create_table(
        "messages",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("is_incoming", sa.Boolean(), nullable=False),
        sa.Column(
            "origin", sa.String(length=10), nullable=False, comment="customer, team, elsewhere, before"
        ),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("intent_id", sa.String(length=16), nullable=True),
        sa.Column(
            "job_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=True,
            comment="the job that read it",
        ),
        sa.Column(
            "cause",
            sa.String(length=40),
            nullable=True,
            comment="what told of it: the webhook's event type, sweep, list ...",
        ),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=True, comment="when it was told of"),
        sa.PrimaryKeyConstraint("project_id", "message_id", name=op.f("pk_messages")),
    )
    op.create_index(
        "ix_messages_conversation", "messages", ["project_id", "conversation_id", "sent_at"], unique=False
    )
    op.create_table(
        "outages",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outages")),
        sa.UniqueConstraint("began_at", name=op.f("uq_outages_began_at")),
        comment="When no worker of the bridge was there",
    )
    op.create_table(
        "pauses",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("probe_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("target", name=op.f("pk_pauses")),
        comment="Targets that are away (project:ID, team:ID, channel:TEAM:ID): one probe at a time",
    )
    op.create_table(
        "posts",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("post_id", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("label", sa.String(length=10), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "post_id", name=op.f("pk_posts")),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column(
            "posts_known_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="since when unseen posts in the inbox are new ones",
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "lost_told_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when people were last told that webhooks get lost",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
    )
    op.create_table(
        "shown_messages",
        sa.Column("delivery_id", sa.String(length=16), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint(
            "delivery_id", "project_id", "message_id", "part", name=op.f("pk_shown_messages")
        ),
        comment="Which delivery shows which message (or part of it); several may share one",
    )
    op.create_index("ix_shown_messages_message", "shown_messages", ["project_id", "message_id"], unique=False)
    op.create_table(
        "team_admins",
        sa.Column("team", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("added_by", sa.String(length=32), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("team", "user_id", name=op.f("pk_team_admins")),
        comment="People who may link and unlink besides the workspace's admins",
    )
    op.create_table(
        "teams",
        sa.Column("team", sa.String(length=32), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("bot_id", sa.String(length=32), nullable=True),
        sa.Column("bot_user_id", sa.String(length=32), nullable=True),
        sa.Column("app_id", sa.String(length=32), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "reads",
            sa.String(length=12),
            nullable=True,
            comment="full, restricted: how much Slack lets us read, as far as seen",
        ),
        sa.PrimaryKeyConstraint("team", name=op.f("pk_teams")),
        comment="What auth.test said of each workspace",
    )
    op.create_table(
        "threads",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("team", sa.String(length=32), nullable=False),
        sa.Column("channel_id", sa.String(length=32), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("target_kind", sa.String(length=12), nullable=False),
        sa.Column("target_id", sa.Text(), nullable=False),
        sa.Column("root_ts", sa.String(length=32), nullable=True),
        sa.Column("root_delivery", sa.String(length=16), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("active_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("internal_told", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("refused_told", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_threads")),
        sa.UniqueConstraint(
            "team",
            "channel_id",
            "project_id",
            "target_kind",
            "target_id",
            name=op.f("uq_threads_team_channel_id_project_id_target_kind_target_id"),
        ),
    )
    op.create_index("ix_threads_root", "threads", ["team", "channel_id", "root_ts"], unique=False)
    op.create_index("ix_threads_target", "threads", ["project_id", "target_kind", "target_id"], unique=False)
    op.create_table(
        "told",
        sa.Column("team", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("topic", sa.String(length=60), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("team", "user_id", "topic", name=op.f("pk_told")),
        comment="Explanations that a person got already",
    )
    op.create_table(
        "webhooks",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False, comment="encrypted"),
        sa.Column("callback_url", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("last_event_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_foreign", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "usual_gap_s", sa.Float(), nullable=True, comment="how long it is usually silent, in seconds"
        ),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_webhooks")),
    )
    op.create_table(
        "told_unread",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "conversation_id", name=op.f("pk_told_unread")),
        comment="Conversations of which people were told that they cannot be read, and when",
    )
    op.create_table(
        "webhook_tests",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("object_type", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "outcome",
            sa.String(length=10),
            nullable=True,
            comment="arrived, lost, refused; null: not known yet",
        ),
        sa.Column(
            "job_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=True,
            comment="the delivery that was let go as this test's",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_tests")),
        comment="Test deliveries that Jollor was asked for: counted, never shown",
    )
    op.create_index("ix_webhook_tests_project", "webhook_tests", ["project_id", "asked_at"], unique=False)
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
