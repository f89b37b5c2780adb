"""What the bridge has to say in Slack, as data: stored with a delivery, drawn by `slack_app.render`.

No Slack markup in here. Every `text` that comes from a customer or from Jollor is hostile until the renderer
has escaped it; `mrkdwn` alone is already Slack's markup, made by `jollor.text`, which escapes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter


class ActionId(StrEnum):
    """Ids of buttons and menus; they reach Slack as `action_id` and come back with a press."""

    OPEN_DASHBOARD = "open_dashboard"
    MARK_RECONNECTED = "mark_reconnected"
    PICK_CHANNEL = "pick_channel"
    UNLINK_CHANNEL = "unlink_channel"
    LINK_PROJECT = "link_project"
    SETTLE_ARRIVED = "settle_arrived"
    SETTLE_SEND_AGAIN = "settle_send_again"
    SETTLE_DROP = "settle_drop"
    SEND_ANYWAY = "send_anyway"
    LOAD_ALL = "load_all"
    SEND_AGAIN = "send_again"
    SEND_CORRECTION = "send_correction"
    TAKE_OVER_WEBHOOK = "take_over_webhook"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Button(_Value):
    """A button: `value` (at most 2,000 characters) comes back with the press; with `url` it opens a page."""

    action: ActionId
    label: str
    value: str = ""
    url: str | None = None
    style: Literal["primary", "danger"] | None = None


class CardState(StrEnum):
    """Where a conversation stands, as its card shows it."""

    NEW = "new"
    WAITING = "waiting"
    ANSWERED = "answered"


class Card(_Value):
    """The root of a conversation's thread: who, where, the first message, the state."""

    type: Literal["card"] = "card"
    project_name: str
    provider: str
    customer: str
    text: str
    state: CardState
    dashboard_url: str
    continued: bool = False
    """The thread's former root was deleted; this one takes its place."""


class PostLabel(StrEnum):
    """Why a post is shown: it came in, was made, or was published through Jollor."""

    RECEIVED = "received"
    CREATED = "created"
    PUBLISHED = "published"


class PostCard(_Value):
    """A post or comment: the root of its thread. `mrkdwn` wins over `text`; both may be empty."""

    type: Literal["post_card"] = "post_card"
    project_name: str
    provider: str
    author: str
    text: str
    mrkdwn: str
    label: PostLabel
    published_at: AwareDatetime | None = None
    dashboard_url: str
    continued: bool = False


class Origin(StrEnum):
    """Who wrote a transcript line."""

    CUSTOMER = "customer"
    TEAM = "team"
    ELSEWHERE = "elsewhere"
    """Sent from Jollor's dashboard, its AI or another program, not from Slack."""


class Entry(_Value):
    """One earlier message within a context post."""

    author: str
    origin: Origin
    text: str
    sent_at: AwareDatetime


class Context(_Value):
    """The last few messages before the thread began, oldest first."""

    type: Literal["context"] = "context"
    provider: str
    entries: tuple[Entry, ...]


class Line(_Value):
    """One message of the transcript, or one numbered part of it.

    `note` is a short remark of ours ("arrived while the bridge was away, 09:10–09:42").
    """

    type: Literal["line"] = "line"
    author: str
    provider: str
    origin: Origin
    text: str
    sent_at: AwareDatetime
    part: int = 1
    parts: int = 1
    has_attachments: bool = False
    note: str | None = None


class Lines(_Value):
    """Messages of one author that waited behind each other, in one post; the same `note` holds for all."""

    type: Literal["lines"] = "lines"
    lines: tuple[Line, ...] = Field(min_length=1)


def inert(name: str) -> str:
    """Return a name from outside as it may stand in our own sentences: without Slack's codes."""
    return name.replace("<", "‹").replace(">", "›").replace("`", "ˋ")


class Notice(_Value):
    """A sentence of ours in a thread, a channel or an answer, with the next steps as buttons.

    `text` may mention people and channels (`<@U…>`, `<#C…>`): names from outside go in as `inert`. `quote` is
    somebody's text (a reply in doubt, for instance), shown apart from our words.
    """

    type: Literal["notice"] = "notice"
    text: str
    quote: str | None = None
    buttons: tuple[Button, ...] = ()


class DialogueLine(_Value):
    """A dialogue started, ended, or needs a person."""

    type: Literal["dialogue"] = "dialogue"
    what: Literal["started", "ended", "human_agent_needed"]
    at: AwareDatetime


class ProfileAlert(_Value):
    """A social profile's connection broke (Jollor does not say which). Counts while it stands."""

    type: Literal["profile_alert"] = "profile_alert"
    alert_id: str
    """The value of its *Mark as reconnected* button."""
    project_id: str
    project_name: str
    since: AwareDatetime
    count: int
    dashboard_url: str
    is_reminder: bool = False
    cleared_by: str | None = None
    """Slack user id of who marked it as reconnected."""
    cleared_at: AwareDatetime | None = None


class LinkRow(_Value):
    """One link in an answer. `problem` is a sentence, None if all is well."""

    channel_id: str
    kind: str
    problem: str | None = None
    undo_window_s: float | None = None
    """Seconds that lines wait there, if not as long as elsewhere."""


class ProjectRow(_Value):
    """One project in `/jollor projects`: where it goes and how it is."""

    project_id: str
    name: str
    links: tuple[LinkRow, ...]
    health: str
    is_healthy: bool
    dashboard_url: str


class ProjectsAnswer(_Value):
    """The answer to `/jollor projects`."""

    type: Literal["projects"] = "projects"
    rows: tuple[ProjectRow, ...]
    can_link: bool


class StatusFact(_Value):
    """One line of `/jollor status`: `is_fine` picks the sign before it."""

    label: str
    value: str
    is_fine: bool = True


class StatusAnswer(_Value):
    """The answer to `/jollor status`."""

    type: Literal["status"] = "status"
    facts: tuple[StatusFact, ...]


class TraceHop(_Value):
    """One hop in an answer. `what` and `reason` may mention people and channels (`<@U…>`, `<#C…>`)."""

    at: AwareDatetime
    what: str
    attempt: int | None = None
    reason: str = ""
    times: int = 1
    until: AwareDatetime | None = None


class TraceAnswer(_Value):
    """The answer to `/jollor trace`: what became of one message, in order of time, without its text."""

    type: Literal["trace"] = "trace"
    about: str
    hops: tuple[TraceHop, ...]
    remarks: tuple[str, ...] = ()


class ChannelPicker(_Value):
    """Asks where a project should go (or, with `unlink`, which channel to take back)."""

    type: Literal["channel_picker"] = "channel_picker"
    project_id: str
    project_name: str
    kind: str = "all"
    unlink_channels: tuple[str, ...] | None = None


Content = Annotated[
    Card
    | PostCard
    | Context
    | Line
    | Lines
    | Notice
    | DialogueLine
    | ProfileAlert
    | ProjectsAnswer
    | StatusAnswer
    | TraceAnswer
    | ChannelPicker,
    Field(discriminator="type"),
]

_content: TypeAdapter[Content] = TypeAdapter(Content)


def to_json(content: Content) -> str:
    """Return `content` as JSON for a row."""
    return _content.dump_json(content).decode()


def from_json(stored: str) -> Content:
    """Return the content that `to_json` stored. Raises `pydantic.ValidationError` if it is none."""
    return _content.validate_json(stored)
