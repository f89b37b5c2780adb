"""The replies in a thread: messages, earlier messages, what happened to a dialogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from bridge.content import Context, DialogueLine, Entry, Line, Origin
from slack_app import blocks as b
from slack_app.blocks import Element, RenderedMessage
from slack_app.markup import escaped, shortened, time_of
from slack_app.names import clean, clean_text, network_icon, person_name, username
from slack_app.views.card import EMPTY

_MAX_LINE = 10_000
_MAX_NOTE = 300
_MAX_ENTRIES = 10
_MAX_ENTRY = 600
_LATE = timedelta(minutes=2)
_ATTACHMENT = "📎 An attachment: open it in Jollor"
_REPEAT = "possible repeat: Slack did not say whether the first one arrived"
_ELSEWHERE = "sent from the Jollor dashboard or another program, not from Slack"
_DIALOGUES: Mapping[str, str] = {
    "started": "▶️ A dialogue started",
    "ended": "⏹️ The dialogue ended",
    "human_agent_needed": "🙋 This dialogue needs a person",
}


def transcript_line(
    line: Line, *, now: datetime, is_possible_repeat: bool, has_own_name: bool
) -> RenderedMessage:
    """One message of the conversation, under its author's name.

    `has_own_name` False: the workspace did not allow other names, so it stands above the text.
    """
    name = username(line.author, line.provider, line.origin)
    body = clean_text(line.text).strip("\n")
    shown = b.clip(body, _MAX_LINE) if body.strip() else _ATTACHMENT if line.has_attachments else EMPTY
    remarks = list(
        _remarks(line, now=now, is_possible_repeat=is_possible_repeat, has_text=bool(body.strip()))
    )
    sections = [] if has_own_name else [b.section_of(b.run(name, bold=True))]
    blocks = [b.rich_text(*sections, b.section_of(b.run(shown)))]
    if remarks:
        blocks.append(b.context(b.mrkdwn(" · ".join(remarks))))
    trailer = f" ({' · '.join(remarks)})" if remarks else ""
    room = b.MAX_TEXT - len(escaped(name)) - len(trailer) - 2
    return b.message(
        f"{escaped(name)}: {shortened(escaped(shown), room)}{trailer}",
        blocks,
        username=name if has_own_name else None,
        icon_emoji=f":{_icon(line)}:" if has_own_name else None,
    )


def earlier_messages(context: Context) -> RenderedMessage:
    """The last few messages before the thread began, as one post."""
    title = "Earlier in this conversation"
    entries = context.entries[-_MAX_ENTRIES:]
    parts: list[Element] = [b.section_of(b.run(title, italic=True))]
    for entry in entries:
        parts.append(b.section_of(b.run(_who(entry), bold=True), b.run("  "), b.date(entry.sent_at)))
        parts.append(b.quote_of(b.run(_entry_text(entry))))
    said = "\n".join(f"{_who(entry)}: {_entry_text(entry)}" for entry in entries)
    return b.message(escaped(f"{title}\n{said}"), [b.rich_text(*parts)])


def dialogue_line(line: DialogueLine) -> RenderedMessage:
    """A dialogue started, ended, or needs a person."""
    words = f"{_DIALOGUES[line.what]} · {time_of(line.at)}"
    return b.message(words, [b.context(b.mrkdwn(words))])


def _remarks(line: Line, *, now: datetime, is_possible_repeat: bool, has_text: bool) -> Iterator[str]:
    """What a reader must know beside the text, as markup."""
    if line.parts > 1:
        yield f"part {line.part}/{line.parts}"
    if line.origin is Origin.ELSEWHERE:
        yield _ELSEWHERE
    if line.has_attachments and has_text:
        yield _ATTACHMENT
    if line.note:
        yield escaped(b.clip(clean(line.note), _MAX_NOTE))
    if now - line.sent_at > _LATE:
        yield time_of(line.sent_at)
    if is_possible_repeat:
        yield _REPEAT


def _icon(line: Line) -> str:
    return network_icon(line.provider) if line.origin is Origin.CUSTOMER else "outbox_tray"


def _who(entry: Entry) -> str:
    return (
        person_name(entry.author)
        if entry.origin is Origin.CUSTOMER
        else f"{person_name(entry.author)} (your side)"
    )


def _entry_text(entry: Entry) -> str:
    return b.clip(clean_text(entry.text).strip(), _MAX_ENTRY) or EMPTY
