"""The replies in a thread: messages, earlier messages, what happened to a dialogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from bridge.content import Context, DialogueLine, Entry, Line, Lines, Origin
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
    shown = _words_of(line)
    remarks = list(_remarks(line, now=now, is_possible_repeat=is_possible_repeat))
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


def transcript_lines(
    joined: Lines, *, now: datetime, is_possible_repeat: bool, has_own_name: bool
) -> RenderedMessage:
    """Several messages of one author, each with the time at which it was sent.

    What holds for all of them stands once, at the end.
    """
    first = joined.lines[0]
    name = username(first.author, first.provider, first.origin)
    blocks = [] if has_own_name else [b.rich_text(b.section_of(b.run(name, bold=True)))]
    said = []
    for line in joined.lines:
        shown = _words_of(line)
        own = " · ".join([*_own_remarks(line), time_of(line.sent_at)])
        blocks += [b.rich_text(b.section_of(b.run(shown))), b.context(b.mrkdwn(own))]
        said.append((escaped(shown), own))
    common = " · ".join(_common_remarks(first, is_possible_repeat=is_possible_repeat))
    if common:
        blocks.append(b.context(b.mrkdwn(common)))
    trailer = f" ({common})" if common else ""
    beside = len(escaped(name)) + len(trailer) + 2 + sum(len(own) + 4 for _, own in said)
    words = _fitting([text for text, _ in said], max(b.MAX_TEXT - beside, len(said)))
    lines = "\n".join(f"{text} ({own})" for text, (_, own) in zip(words, said, strict=True))
    return b.message(
        f"{escaped(name)}: {lines}{trailer}",
        blocks,
        username=name if has_own_name else None,
        icon_emoji=f":{_icon(first)}:" if has_own_name else None,
    )


def _fitting(texts: list[str], room: int) -> list[str]:
    """Return texts that fit together: the longest are cut, to the same length."""
    if sum(map(len, texts)) <= room:
        return texts
    limit = room // len(texts)
    spare = sum(max(0, limit - len(text)) for text in texts)
    long = [text for text in texts if len(text) > limit]
    limit += spare // len(long)
    return [shortened(text, limit) for text in texts]


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


def _words_of(line: Line) -> str:
    body = clean_text(line.text).strip("\n")
    return b.clip(body, _MAX_LINE) if body.strip() else _ATTACHMENT if line.has_attachments else EMPTY


def _remarks(line: Line, *, now: datetime, is_possible_repeat: bool) -> Iterator[str]:
    """What a reader must know beside the text, as markup."""
    yield from _own_remarks(line)
    yield from _common_remarks(line, is_possible_repeat=False)
    if now - line.sent_at > _LATE:
        yield time_of(line.sent_at)
    if is_possible_repeat:
        yield _REPEAT


def _own_remarks(line: Line) -> Iterator[str]:
    if line.parts > 1:
        yield f"part {line.part}/{line.parts}"
    if line.has_attachments and clean_text(line.text).strip():
        yield _ATTACHMENT


def _common_remarks(line: Line, *, is_possible_repeat: bool) -> Iterator[str]:
    if line.origin is Origin.ELSEWHERE:
        yield _ELSEWHERE
    if line.note:
        yield escaped(b.clip(clean(line.note), _MAX_NOTE))
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
