"""The answers that need nobody else: help, and what to do about a mistyped command."""

from __future__ import annotations

from slack_app import blocks as b
from slack_app.blocks import Element, RenderedMessage
from slack_app.ids import COMMAND
from slack_app.markup import escaped
from slack_app.names import clean

_USES: tuple[tuple[str, str], ...] = (
    ("projects", "the projects of this Jollor account, their channels and how they are"),
    (
        "link PROJECT [#channel] [all|message|post|alert]",
        "bring a project into a channel (without #channel I ask)",
    ),
    (
        "link PROJECT #channel undo SECONDS",
        "how long a line waits there before the customer gets it (or: undo default)",
    ),
    ("unlink PROJECT [#channel]", "take it back"),
    ("status", "whether everything works, and what to do if not"),
    ("trace LINK", "what happened to one message: each hop, with time, attempt and reason"),
    ("admins [add|remove @user]", "who may link and unlink, besides the workspace's admins"),
    ("help", "this overview"),
)
_IN_THREADS = (
    "Answer a customer by writing in the thread. ✅ means that Jollor took it, ❌ that it was not sent, ⚠️ "
    "that I do not know. What starts with // or 🔇, or mentions a colleague, stays inside: 🔒."
)


def help_answer(remark: str = "") -> RenderedMessage:
    """The overview, `remark` above it."""
    remark = b.clip(clean(remark), 500)
    parts: list[Element] = [b.section_of(b.run(remark))] if remark else []
    parts.append(b.list_of(_use(use, meaning) for use, meaning in _USES))
    said = "\n".join(f"{COMMAND} {use}: {meaning}" for use, meaning in _USES)
    return b.message(
        escaped("\n".join(filter(None, [remark, said, _IN_THREADS]))),
        [b.rich_text(*parts), b.context(b.plain(_IN_THREADS))],
    )


def sentence(words: str) -> RenderedMessage:
    """A short answer in one sentence."""
    words = b.clip(clean(words), 1_000)
    return b.message(escaped(words), [b.section(b.plain(words))])


def _use(use: str, meaning: str) -> Element:
    return b.section_of(b.run(f"{COMMAND} {use}", bold=True), b.run(f"  {meaning}"))
