"""What nobody has written down about Jollor, as switches.

Each default is the documented reading, or the most likely one where nothing is documented. They may be turned
at any time; the next request or event obeys.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class RefreshRotation(StrEnum):
    """What becomes of a refresh token that was used."""

    DIES = "dies"  # a new one comes, the old one is dead at once
    STAYS = "stays"  # a new one comes, the old one still works
    SAME = "same"  # the same one comes back


class ExpiryForm(StrEnum):
    """How the lifetime of an access token is told."""

    EXPIRE_IN = "expire_in"  # as documented
    EXPIRES_IN = "expires_in"
    STRING = "string"  # expire_in, as a numeric string
    ZERO = "zero"
    MISSING = "missing"


class Newness(StrEnum):
    """One end of a list in time, or no order at all."""

    OLDEST = "oldest"
    NEWEST = "newest"
    NONE = "none"


class Echo(StrEnum):
    """When `message_created` and `message_sent` of a reply made through the API are announced."""

    AFTER = "after"  # after the answer to the reply
    BEFORE = "before"  # the answer waits until both were delivered once
    TWICE = "twice"  # before and after
    NEVER = "never"


class Rewriting(StrEnum):
    """What Jollor or a network may do to the text of a reply."""

    SHORTEN_LINKS = "shorten_links"
    SIGNATURE = "signature"
    CUT_END = "cut_end"
    WHITESPACE = "whitespace"


class RenderForm(StrEnum):
    """What the render operations answer."""

    EMPTY = "empty"  # {} as shown in the reference
    STRING = "string"  # a bare JSON string
    HTML = "html"  # text/html
    OBJECT = "object"  # {"html": …}


class LengthAt(StrEnum):
    """Where the largest length of a reply is in capabilities."""

    TOP = "max_reply_length"
    REPLY_MAX = "reply.max_reply_length"
    REPLY = "reply.reply_length"
    NOWHERE = "nowhere"


class PayloadForm(StrEnum):
    """How a webhook delivery is written."""

    FLAT = "flat"  # the guide
    ENVELOPE = "envelope"  # the example code
    KEYED = "keyed"  # the reference's sample
    LIST = "list"  # a bare array, not seen anywhere


class DateForm(StrEnum):
    """How `date` in dialogue events is written."""

    ISO = "iso"
    EPOCH_S = "epoch_s"
    EPOCH_MS = "epoch_ms"


class ErrorForm(StrEnum):
    """What the body of a failure looks like."""

    OBJECT = "object"
    TEXT = "text"
    HTML = "html"
    EMPTY = "empty"


DOCUMENTED_EVENTS = (
    "post_received",
    "post_created",
    "post_published",
    "message_received",
    "message_created",
    "message_sent",
    "token_expired",
    "dialogue_started",
    "dialogue_ended",
)
KNOWN_EVENTS = (*DOCUMENTED_EVENTS, "dialogue_human_agent_needed")


@dataclass
class Switches:
    """All switches of one simulated Jollor. Times are in seconds of the sandbox's clock."""

    # tokens
    access_token_lifetime_s: float = 3600.0
    refresh_token_lifetime_s: float | None = None
    refresh_rotation: RefreshRotation = RefreshRotation.DIES
    expiry_form: ExpiryForm = ExpiryForm.EXPIRE_IN
    scope_as_string: bool = False
    refused_refresh_status: int = 401
    wrong_token_status: int = 403  # a user token where a project token belongs, or the other way round

    # every request and answer
    require_headers: bool = (
        True  # Content-Type and Accept where the reference marks them as required: else 400
    )
    error_form: ErrorForm = ErrorForm.OBJECT
    missing_members: set[str] = field(default_factory=set)  # "Message.text", "*.name"
    null_members: set[str] = field(default_factory=set)
    mistyped_members: set[str] = field(default_factory=set)
    unknown_members: bool = False  # an extra member in every object
    numeric_ids: bool = False  # JSON numbers as ids, for objects made from now on

    # lists
    limit_keeps: Newness = Newness.NEWEST
    message_order: Newness = Newness.OLDEST  # which comes first
    conversation_order: Newness = Newness.NEWEST
    max_limit: int | None = None  # a silent maximum of `limit`
    last_message_at_counts_hidden: bool = False  # a message that lists do not show yet already moves it

    # conversations
    echo: Echo = Echo.AFTER
    echo_delay_s: float = 0.2
    reply_status: int = 200
    rewriting: frozenset[Rewriting] = frozenset()
    cut_end_at: int = 100  # characters left by CUT_END
    signature: str = "\n\n-- \nSent with Jollor"
    too_long_status: int = 400
    not_allowed_status: int = 400
    message_length_at: LengthAt = LengthAt.TOP
    dialogue_id_in_messages: bool = False
    close_twice_status: int = 200
    close_announces: bool = True

    # posts
    post_members: bool = False  # text, author and published_at, in no documented example
    post_length_at: LengthAt = LengthAt.REPLY
    post_reply_is_message: bool = True  # the id in the answer can be read as a message, as its link says
    post_reply_is_post: bool = True  # … and as a post

    # texts
    render_form: RenderForm = RenderForm.EMPTY
    translation_as_object: bool = False
    media_ticket: bool = False

    # webhooks
    payload_form: PayloadForm = PayloadForm.FLAT
    batch_window_s: float = 0.0  # events of one project within it share a delivery, unless the form is flat
    date_form: DateForm = DateForm.ISO
    check_verification_body: bool = True
    check_delivery_body: bool = True
    delivery_timeout_s: float = 10.0
    least_timeout_s: float = 2.0  # real seconds: the receiver's computing gets no faster with the clock
    parallel_deliveries: int = 8  # per project
    retry_intervals_s: tuple[float, ...] = (
        10.0,
        30.0,
        60.0,
        300.0,
        900.0,
        1800.0,
        3600.0,
    )  # the last one repeats
    give_up_after_s: float = 24 * 3600.0
    disabled_status: str = "disabled"
    unverified_status: str = "inactive"  # before callback_url was verified
    webhook_shows_all: bool = False  # whether POST and GET webhook show more than verify_token and _links
    update_takes_all: bool = False  # whether PUT webhook obeys verify_token and subscriptions
    enabling_again_changes_secret: bool = False
    subscribable: frozenset[str] | None = frozenset(KNOWN_EVENTS)  # None: any word
    test_names_real_objects: bool = (
        False  # POST webhook/test with the newest object's id instead of an invented one
    )
