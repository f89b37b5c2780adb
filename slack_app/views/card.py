"""The roots of threads: the card of a conversation and the card of a post."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.content import ActionId, Card, CardState, PostCard, PostLabel
from slack_app import blocks as b
from slack_app.blocks import Block, Element, RenderedMessage
from slack_app.markup import escaped, links_only, shortened, split, time_of
from slack_app.names import clean, clean_text, network_name, person_name

_MAX_QUOTE = 800
_MAX_PROJECT = 80
_MAX_POST = 8_500
_STATES: Mapping[CardState, str] = {
    CardState.NEW: "🆕 New: waiting for the first answer",
    CardState.WAITING: "🟠 Waiting for an answer",
    CardState.ANSWERED: "🟢 Answered",
}
_LABELS: Mapping[PostLabel, str] = {
    PostLabel.RECEIVED: "📥 New post or comment",
    PostLabel.CREATED: "📝 Post created in Jollor",
    PostLabel.PUBLISHED: "📣 Post published",
}
_CONTINUED = "continued here: the first card of this thread was deleted"
EMPTY = "(no text)"


def conversation_card(card: Card) -> RenderedMessage:
    """The root of a conversation's thread."""
    state = _STATES[card.state]
    quote = b.clip(clean_text(card.text).strip(), _MAX_QUOTE) or EMPTY
    who = headline(card.customer, card.provider, card.project_name)
    parts = [b.section_of(*_headline(card.customer, card.provider, card.project_name))]
    if card.continued:
        parts.append(b.section_of(b.run(_CONTINUED, italic=True)))
    parts.append(b.quote_of(b.run(quote)))
    return b.message(
        escaped(f"{who}\n{quote}\n{state}"),
        [b.rich_text(*parts), b.section(b.plain(state), open_button(card.dashboard_url))],
    )


def post_card(card: PostCard) -> RenderedMessage:
    """The root of a post's thread."""
    label = _LABELS[card.label]
    who = headline(card.author, card.provider, card.project_name)
    published = "" if card.published_at is None else f" · {time_of(card.published_at)}"
    continued = f" · {_CONTINUED}" if card.continued else ""
    plain_body = clean_text(card.text).strip()
    markup = links_only(clean_text(card.mrkdwn).strip())
    body = (
        _markup_body(markup)
        if markup
        else [b.rich_text(b.quote_of(b.run(b.clip(plain_body, _MAX_POST) or EMPTY)))]
    )
    return b.message(
        f"{label}: {escaped(who)}\n{escaped(plain_body) or markup or EMPTY}",
        [
            b.rich_text(b.section_of(*_headline(card.author, card.provider, card.project_name))),
            *body,
            b.section(b.mrkdwn(f"{label}{published}{continued}"), open_button(card.dashboard_url)),
        ],
    )


def headline(name: str, provider: str, project: str) -> str:
    """Who, where and for whom, on one line."""
    return f"{person_name(name)} · {network_name(provider)} · {project_label(project)}"


def project_label(name: str) -> str:
    """A project's name, fit to be shown, never empty."""
    return b.clip(clean(name), _MAX_PROJECT) or "Unnamed project"


def open_button(dashboard_url: str) -> Element:
    """The way to the same thing in Jollor."""
    return b.button("Open in Jollor", ActionId.OPEN_DASHBOARD, url=dashboard_url)


def _headline(name: str, provider: str, project: str) -> tuple[Element, Element]:
    rest = f" · {network_name(provider)} · {project_label(project)}"
    return b.run(person_name(name), bold=True), b.run(rest)


def _markup_body(markup: str) -> list[Block]:
    return [b.section(b.mrkdwn(piece)) for piece in split(shortened(markup, _MAX_POST), b.MAX_SECTION)]
