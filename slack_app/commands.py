"""What people write after `/jollor`: read, checked, and brought into one form for the bridge.

Pure. Wrong usage, unknown words and `help` are answered here; everything else is handed on as a word and
the rest in its canonical form:

- `link`, `unlink`: `PROJECT [channel] [kind]`, the channel as "<#C0123ABC>" if its id is known, else "#name";
  behind a channel `link` also takes `undo SECONDS` or `undo default`;
- `admins`: empty, `add <@U0123ABC>` or `remove <@U0123ABC>`;
- `projects`, `status`: empty;
- `trace`: "C0123ABC 1712345678.901234" for a message in Slack, else the id of a message in Jollor.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from bridge.model import LinkKind, UndoWindow
from slack_app.blocks import RenderedMessage
from slack_app.ids import COMMAND
from slack_app.views.help import help_answer, sentence

WORDS = ("projects", "link", "unlink", "status", "trace", "help", "admins")
_OTHER_NAMES = {"project": "projects", "list": "projects", "admin": "admins", "?": "help"}
_KINDS = {
    **{kind.value: kind.value for kind in LinkKind},
    "messages": "message",
    "posts": "post",
    "alerts": "alert",
}

_CHANNEL = re.compile(r"<#(?P<id>[CG][A-Z0-9]+)(?:\|[^>]*)?>|(?<!\S)#(?P<name>[^\s<>#|]+)")
_UNDO = re.compile(r"\sundo\s+(?P<time>\S+)$", re.IGNORECASE)
_USER = re.compile(r"<@(?P<id>[UW][A-Z0-9]+)(?:\|[^>]*)?>")
_PERMALINK = re.compile(
    r"https?://[^/\s]+/archives/(?P<channel>[CDG][A-Z0-9]+)/p(?P<seconds>\d+)(?P<fraction>\d{6})(?:[?#]\S*)?$"
)
_TRACED = re.compile(r"[CDG][A-Z0-9]+ \d+\.\d{6}|(?!https?:)[^\s<>|]{1,200}")
_QUOTES = "\"'“”„‘’«»"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the bridge shall do."""

    word: str
    rest: str


@dataclass(frozen=True, slots=True)
class Link:
    """The parts of `link` and `unlink`. `channel` is "#name", "<#C0123ABC>" or empty; `kind` may be empty."""

    project: str
    channel: str
    kind: str


def parse(text: str) -> Wanted | RenderedMessage:
    """Return what `text` asks for, or the answer if that needs nobody else."""
    word, _, rest = " ".join(text.split()).partition(" ")
    word = word.lower()
    word = _OTHER_NAMES.get(word, word)
    match word:
        case "" | "help":
            return help_answer()
        case "projects" | "status":
            return Wanted(word, "")
        case "link" | "unlink":
            return _link(word, rest)
        case "admins":
            return _admins(rest)
        case "trace":
            return _trace(rest)
        case _:
            return _unknown(word)


def parse_link(rest: str, *, takes_kind: bool = True) -> Link:
    """Return the parts of what follows `link`; the project is empty if none is named."""
    words = rest.split()
    kind = ""
    if takes_kind and len(words) > 1 and words[-1].lower() in _KINDS:
        kind = _KINDS[words.pop().lower()]
    rest = " ".join(words)
    channels = list(_CHANNEL.finditer(rest))
    # The last one, so that a project may be called "#1"; a name alone is the project's.
    channel = channels[-1] if channels and channels[-1].end() == len(rest) else None
    if channel is None:
        return Link(_project(rest), "", kind)
    written = f"<#{channel['id']}>" if channel["id"] else f"#{channel['name']}"
    return Link(_project(rest[: channel.start()]), written, kind)


def _project(text: str) -> str:
    """A name as typed: Slack's escaping and the quotes around it go."""
    return _unescaped(text).strip(_QUOTES + " ")


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _link(word: str, rest: str) -> Wanted | RenderedMessage:
    undo = _UNDO.search(rest) if word == "link" else None
    if undo is not None and (parse_link(rest[: undo.start()]).channel or UndoWindow.read(undo["time"])):
        return _link_with_undo(rest[: undo.start()], undo["time"])
    link = parse_link(rest, takes_kind=word == "link")
    if not link.project:
        usage = "PROJECT [#channel] [all|message|post|alert]" if word == "link" else "PROJECT [#channel]"
        return sentence(
            f"Which project? Write {COMMAND} {word} {usage}, for example {COMMAND} {word} Acme #support. "
            f"{COMMAND} projects shows their names."
        )
    if word == "unlink":
        return Wanted(word, " ".join(filter(None, [link.project, link.channel])))
    return Wanted(word, " ".join(filter(None, [link.project, link.channel, link.kind])))


def _link_with_undo(rest: str, time: str) -> Wanted | RenderedMessage:
    link, undo = parse_link(rest), UndoWindow.read(time)
    usage = f"{COMMAND} link {link.project or 'PROJECT'} {link.channel or '#channel'} undo"
    if not link.project or not link.channel:
        return sentence(f"An undo window is a channel's: write {usage} 10, for example.")
    if undo is None:
        return sentence(
            f"How long? Write {usage} and a number of seconds from 0 to {UndoWindow.MOST_S}, or "
            f"{usage} {UndoWindow.DEFAULT} for the bridge's own."
        )
    return Wanted(
        "link", " ".join(filter(None, [link.project, link.channel, link.kind, "undo", time.lower()]))
    )


def _admins(rest: str) -> Wanted | RenderedMessage:
    if not rest:
        return Wanted("admins", "")
    act, _, who = rest.partition(" ")
    user = _USER.fullmatch(who.strip())
    if act.lower() not in ("add", "remove"):
        return sentence(
            f"Write {COMMAND} admins to see the list, or {COMMAND} admins add @user or remove @user."
        )
    if user is None:
        return sentence(
            f"Whom? Write {COMMAND} admins {act.lower()}, then @, and pick one person from Slack's list."
        )
    return Wanted("admins", f"{act.lower()} <@{user['id']}>")


def _trace(rest: str) -> Wanted | RenderedMessage:
    """A message's link as Slack copies it; Slack wraps it in <…>, perhaps with a label."""
    asked = _unescaped(rest.strip("<> ").partition("|")[0]).strip(_QUOTES + " ")
    in_slack = _PERMALINK.match(asked)
    if in_slack is not None:
        return Wanted("trace", f"{in_slack['channel']} {in_slack['seconds']}.{in_slack['fraction']}")
    if _TRACED.fullmatch(asked):
        return Wanted("trace", asked)
    return sentence(
        f"Which message? Write {COMMAND} trace, then the message's link (in its menu: Copy link), or the "
        "id of a message in Jollor."
    )


def _unknown(word: str) -> RenderedMessage:
    near = difflib.get_close_matches(word, WORDS, n=1, cutoff=0.5)
    shown = word if len(word) <= 30 else word[:29] + "…"
    guess = f" Did you mean {COMMAND} {near[0]}?" if near else ""
    return help_answer(f"I do not know “{shown}”.{guess} This is what I understand:")
