"""What can happen, as values that become job rows: `kind` is the job's kind, `lane` where it waits its turn.

Parsed again when a worker picks the job up, so every member must survive JSON. Past tense for what happened
outside, a verb for work that we owe ourselves.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from bridge.ids import ChannelId, MessageTs, ProjectId, TeamId, ThreadRef
from bridge.model import Target, TargetKind


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    @property
    def lane(self) -> str | None:
        """The lane in which this is done in order, or None."""
        return None

    @property
    def target(self) -> str | None:
        """What has to be up for this to succeed ("project:ID"), or None: while it is away the job waits."""
        return None


# --- from Jollor -------------------------------------------------------------------------------------


class _JollorEvent(_Event):
    """Something about a project; handling it reads from Jollor."""

    project_id: str

    @property
    def target(self) -> str | None:
        return f"project:{self.project_id}"


SWEEPS = frozenset({"sweep", "backfill"})
"""The causes of what the bridge found by looking: no webhook told of it."""


class ConversationChanged(_JollorEvent):
    """A conversation may have changed. `message_id` is the hint, if the webhook named one."""

    kind: Literal["conversation_changed"] = "conversation_changed"
    conversation_id: str
    message_id: str | None = None
    cause: str = ""
    """The webhook's event type, "sweep", "backfill", "unknown" …: for the trace."""
    since: AwareDatetime | None = None
    """When the change was first heard of."""

    @property
    def lane(self) -> str | None:
        return Target(ProjectId(self.project_id), TargetKind.CONVERSATION, self.conversation_id).lane("in")


class MessageHinted(_JollorEvent):
    """A message was named without its conversation (keyed webhooks): find where it belongs."""

    kind: Literal["message_hinted"] = "message_hinted"
    message_id: str
    cause: str = ""


class MessageMissing(_JollorEvent):
    """A message was announced that could not be read yet; it is tried on its own. No lane waits for it."""

    kind: Literal["message_missing"] = "message_missing"
    conversation_id: str
    message_id: str
    cause: str = ""
    since: AwareDatetime | None = None
    """When it was announced."""


class PostChanged(_JollorEvent):
    """A post came in, was made or was published."""

    kind: Literal["post_changed"] = "post_changed"
    post_id: str
    what: Literal["received", "created", "published"]
    cause: str = ""
    """"sweep" or "backfill" where no webhook told of it."""

    @property
    def lane(self) -> str | None:
        return Target(ProjectId(self.project_id), TargetKind.POST, self.post_id).lane("in")


class DialogueChanged(_Event):
    """A dialogue started, ended or needs a person. Without a conversation it has no lane."""

    kind: Literal["dialogue_changed"] = "dialogue_changed"
    project_id: str
    dialogue_id: str
    conversation_id: str | None = None
    what: Literal["started", "ended", "human_agent_needed"]
    at: AwareDatetime

    @property
    def lane(self) -> str | None:
        if self.conversation_id is None:
            return None
        return Target(ProjectId(self.project_id), TargetKind.CONVERSATION, self.conversation_id).lane("in")


class ProfileExpired(_Event):
    """A social profile of the project lost its connection (Jollor's `token_expired`)."""

    kind: Literal["profile_expired"] = "profile_expired"
    project_id: str
    at: AwareDatetime


# --- from Slack --------------------------------------------------------------------------------------


class SlackEventReceived(_Event):
    """An Events API envelope as it came; `slack_app.translate` reads it when the job runs.

    `thread_key` names the thread that it is about, if any: those of one thread are read in order of arrival.
    """

    kind: Literal["slack_event"] = "slack_event"
    body: dict[str, Any]
    received_at: AwareDatetime
    thread_key: str | None = None

    @property
    def lane(self) -> str | None:
        return None if self.thread_key is None else reading_lane(self.thread_key)


def reading_lane(thread_key: str) -> str:
    """Return the lane in which the events of a Slack thread are read."""
    return f"slack:{thread_key}"


class LineTyped(_Event):
    """A message in a Slack channel, already in the words a customer would read.

    `text` is plain text with names for mentions; `mentions_people` tells that somebody in Slack is addressed:
    a colleague, a group, everybody here, or the app itself. `is_under_ours` tells that it stands below a
    message of the bridge's.
    """

    kind: Literal["line_typed"] = "line_typed"
    team_id: str
    channel_id: str
    ts: str
    thread_ts: str | None
    user_id: str
    text: str
    mentions_people: bool = False
    has_files: bool = False
    is_broadcast: bool = False
    client_msg_id: str | None = None
    is_outsider: bool = False
    is_under_ours: bool = False
    edited_ts: str | None = None
    """When it was last edited, if it was before we saw it."""
    is_found: bool = False
    """Slack did not tell of it: it was found by reading the thread."""
    mark: str | None = None
    """The mark of ours that a found line has: it was dealt with, whatever the database knows."""
    received_at: AwareDatetime

    def as_edited(self) -> LineEdited:
        """Return the line as an edit of what it was before: for one that we knew."""
        assert self.edited_ts is not None
        return LineEdited(
            team_id=self.team_id,
            channel_id=self.channel_id,
            ts=self.ts,
            thread_ts=self.thread_ts,
            user_id=self.user_id,
            text=self.text,
            mentions_people=self.mentions_people,
            has_files=self.has_files,
            client_msg_id=self.client_msg_id,
            is_outsider=self.is_outsider,
            edited_ts=self.edited_ts,
        )


class LineEdited(_Event):
    """A person changed the text of a line (not an unfurl). Says all that a new line says."""

    kind: Literal["line_edited"] = "line_edited"
    team_id: str
    channel_id: str
    ts: str
    thread_ts: str | None
    user_id: str
    text: str
    mentions_people: bool = False
    has_files: bool = False
    client_msg_id: str | None = None
    is_outsider: bool = False
    edited_ts: str

    def as_typed(self, received_at: datetime) -> LineTyped:
        """Return the line as if it had been typed as it stands now: for an edit that overtook its line."""
        return LineTyped(
            team_id=self.team_id,
            channel_id=self.channel_id,
            ts=self.ts,
            thread_ts=self.thread_ts,
            user_id=self.user_id,
            text=self.text,
            mentions_people=self.mentions_people,
            has_files=self.has_files,
            client_msg_id=self.client_msg_id,
            is_outsider=self.is_outsider,
            received_at=received_at,
        )


class LineDeleted(_Event):
    """A person deleted a line."""

    kind: Literal["line_deleted"] = "line_deleted"
    team_id: str
    channel_id: str
    ts: str
    thread_ts: str | None
    user_id: str | None


class LineFound(_Event):
    """What reading a thread has shown that no event told of. Takes its turn among the thread's events."""

    kind: Literal["line_found"] = "line_found"
    line: Annotated[LineTyped | LineEdited | LineDeleted, Field(discriminator="kind")]
    thread_key: str

    @property
    def lane(self) -> str | None:
        return reading_lane(self.thread_key)


class ChannelState(_Event):
    """Something happened to a channel as a whole."""

    kind: Literal["channel_state"] = "channel_state"
    team_id: str
    channel_id: str
    what: Literal["archived", "unarchived", "renamed", "deleted", "bot_joined", "bot_left"]
    name: str | None = None


class AppRemoved(_Event):
    """The app was uninstalled or its tokens were revoked."""

    kind: Literal["app_removed"] = "app_removed"
    team_id: str


class CommandGiven(_Event):
    """A slash command, split into its first word and the rest; answered through `response_url`."""

    kind: Literal["command_given"] = "command_given"
    team_id: str
    channel_id: str
    user_id: str
    word: str
    rest: str
    response_url: str


class ButtonPressed(_Event):
    """A button or menu was used. `selected` is a menu's choice (a channel id, for instance)."""

    kind: Literal["button_pressed"] = "button_pressed"
    team_id: str
    channel_id: str
    user_id: str
    action_id: str
    value: str
    selected: str | None = None
    message_ts: str | None = None
    thread_ts: str | None = None
    response_url: str | None = None


class HoldBackChosen(_Event):
    """Somebody chose *Hold back* in a message's menu. `is_typed`: a person wrote that message, not an app."""

    kind: Literal["hold_back_chosen"] = "hold_back_chosen"
    team_id: str
    channel_id: str
    ts: str
    thread_ts: str | None
    user_id: str
    writer_id: str
    is_typed: bool
    response_url: str | None = None

    @property
    def lane(self) -> str | None:
        """Read in turn with the other events of the thread: the line itself may be among them."""
        if self.thread_ts is None:
            return None
        return reading_lane(f"{self.team_id}:{self.channel_id}:{self.thread_ts}")


# --- owed to ourselves -------------------------------------------------------------------------------


class SendReply(_JollorEvent):
    """An intent is due. Lane `out` of its target, ordered by Slack's `ts`."""

    kind: Literal["send_reply"] = "send_reply"
    intent_id: str
    out_lane: str

    @property
    def lane(self) -> str | None:
        return self.out_lane


class SettleReply(_JollorEvent):
    """Look in Jollor what became of a reply whose outcome is unknown. No lane: the lane waits for this."""

    kind: Literal["settle_reply"] = "settle_reply"
    intent_id: str


class MarkWaiting(_Event):
    """A reply should have gone out by now; if it has not, its line says so."""

    kind: Literal["mark_waiting"] = "mark_waiting"
    intent_id: str


class AdviceDue(_Event):
    """Tell the writer of a reply something privately. Advice only: no lane waits for it."""

    kind: Literal["advice_due"] = "advice_due"
    intent_id: str
    explains_window: bool = False
    warns_of_length: bool = False


class SweepAll(_Event):
    """Look in every linked project for what webhooks have missed."""

    kind: Literal["sweep_all"] = "sweep_all"


class CameBack(_Event):
    """For a time no worker was there: tell people."""

    kind: Literal["came_back"] = "came_back"
    began_at: AwareDatetime
    ended_at: AwareDatetime


class Sweep(_JollorEvent):
    """Look in one project for what webhooks have missed."""

    kind: Literal["sweep"] = "sweep"

    @property
    def lane(self) -> str | None:
        return f"sweep:{self.project_id}"  # with its followers: those put meanwhile are one


class WatchWebhooks(_Event):
    """Look how the webhook of every linked project is."""

    kind: Literal["watch_webhooks"] = "watch_webhooks"


class WatchWebhook(_JollorEvent):
    """Look how one project's webhook is, and see to it."""

    kind: Literal["watch_webhook"] = "watch_webhook"

    @property
    def lane(self) -> str | None:
        return webhook_lane(self.project_id)


class TakeOverWebhook(_JollorEvent):
    """A person has the webhook of a project, which calls somebody else, call us."""

    kind: Literal["take_over_webhook"] = "take_over_webhook"
    user_id: str

    @property
    def lane(self) -> str | None:
        return webhook_lane(self.project_id)


def webhook_lane(project_id: str) -> str:
    """Return the lane in which a project's webhook is seen to."""
    return f"webhook:{project_id}"


class TellOfOutages(_Event):
    """Say where it matters that Jollor is away, or back."""

    kind: Literal["tell_of_outages"] = "tell_of_outages"


class ReadBackAll(_Event):
    """Look in Slack for lines that no event told of, in all linked channels or those of one project.

    `since` None: since the last look. `is_routine`: nothing has happened, it is only time again.
    """

    kind: Literal["read_back_all"] = "read_back_all"
    since: AwareDatetime | None = None
    project_id: str | None = None
    is_routine: bool = False


class ReadChannel(_Event):
    """Find the threads of a channel in which there may be lines that no event told of."""

    kind: Literal["read_channel"] = "read_channel"
    team_id: str
    channel_id: str
    since: AwareDatetime | None = None
    is_routine: bool = False

    @property
    def lane(self) -> str | None:
        return f"readback:{self.team_id}:{self.channel_id}"  # with its followers: those put meanwhile are one

    @property
    def target(self) -> str | None:
        return f"team:{self.team_id}"


class ReadThread(_Event):
    """Look in a thread for lines after `since_ts` that no event told of.

    `in_lane`: what Slack tells of the thread meanwhile waits, so that lines found go before it.
    """

    kind: Literal["read_thread"] = "read_thread"
    team_id: str
    channel_id: str
    root_ts: str
    since_ts: str
    in_lane: bool = True

    @property
    def thread_key(self) -> str:
        """The key of the thread, as its events carry it."""
        return ThreadRef(TeamId(self.team_id), ChannelId(self.channel_id), MessageTs(self.root_ts)).key

    @property
    def lane(self) -> str | None:
        return reading_lane(self.thread_key) if self.in_lane else None

    @property
    def target(self) -> str | None:
        return f"team:{self.team_id}"


class RenewTokens(_Event):
    """Look for access tokens past 80 % of their life."""

    kind: Literal["renew_tokens"] = "renew_tokens"

    @property
    def lane(self) -> str | None:
        return self.kind


class RemindOfAlerts(_Event):
    """Remind of alerts that have stood for a day."""

    kind: Literal["remind_of_alerts"] = "remind_of_alerts"


class LookForDelays(_Event):
    """Look which channels are behind, and tell there."""

    kind: Literal["look_for_delays"] = "look_for_delays"

    @property
    def lane(self) -> str | None:
        return self.kind


class CleanUp(_Event):
    """Delete finished jobs and deliveries that are past their keeping time."""

    kind: Literal["clean_up"] = "clean_up"


Event = Annotated[
    ConversationChanged
    | MessageHinted
    | MessageMissing
    | PostChanged
    | DialogueChanged
    | ProfileExpired
    | SlackEventReceived
    | LineTyped
    | LineEdited
    | LineDeleted
    | LineFound
    | ChannelState
    | AppRemoved
    | CommandGiven
    | ButtonPressed
    | HoldBackChosen
    | AdviceDue
    | SendReply
    | SweepAll
    | CameBack
    | Sweep
    | WatchWebhooks
    | WatchWebhook
    | TakeOverWebhook
    | TellOfOutages
    | ReadBackAll
    | ReadChannel
    | ReadThread
    | RenewTokens
    | RemindOfAlerts
    | LookForDelays
    | CleanUp
    | SettleReply
    | MarkWaiting,
    Field(discriminator="kind"),
]

event_adapter: TypeAdapter[Event] = TypeAdapter(Event)
