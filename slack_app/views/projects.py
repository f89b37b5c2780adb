"""The answer to `/jollor projects`: where each project goes and how it is."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.content import ActionId, LinkRow, ProjectRow, ProjectsAnswer
from slack_app import blocks as b
from slack_app.blocks import Block, Element, RenderedMessage
from slack_app.ids import COMMAND, is_channel_id
from slack_app.markup import escaped
from slack_app.names import clean
from slack_app.views.card import open_button, project_label
from slack_app.views.values import press_value

_MAX_ROWS = 15
_MAX_NAMED = 40
_MAX_LINKS = 6
_MAX_HEALTH = 120
_KINDS = {
    "all": "messages, posts and alerts",
    "message": "private messages",
    "post": "posts and comments",
    "alert": "alerts",
}


def projects_answer(answer: ProjectsAnswer) -> RenderedMessage:
    """Each project with its channels; what is beyond the first rows is named on one line."""
    if not answer.rows:
        words = "This Jollor account sees no projects. Check the account's rights in Jollor, then ask again."
        return b.message(words, [b.section(b.plain(words))])
    shown, others = answer.rows[:_MAX_ROWS], answer.rows[_MAX_ROWS:]
    count = "1 project" if len(answer.rows) == 1 else f"{len(answer.rows)} projects"
    blocks: list[Block] = [b.header(f"Jollor: {count}")]
    for row in shown:
        blocks += _row(row, can_link=answer.can_link)
    if others:
        blocks.append(b.rich_text(b.section_of(b.run(_named(others)))))
    if answer.can_link:
        blocks.append(b.context(b.plain(f"Link one with {COMMAND} link PROJECT #channel")))
    said = "\n".join(_said(row) for row in shown)
    return b.message(escaped(f"Jollor: {count}\n{said}"), blocks)


def _row(row: ProjectRow, *, can_link: bool) -> list[Block]:
    sign = "🟢" if row.is_healthy else "🔴"
    parts = [
        b.section_of(b.run(f"{sign} "), b.run(project_label(row.name), bold=True), b.run(f"  {_health(row)}"))
    ]
    if row.links:
        parts.append(b.list_of(b.section_of(*_link(link)) for link in row.links[:_MAX_LINKS]))
    if len(row.links) > _MAX_LINKS:
        parts.append(b.section_of(b.run(f"and {len(row.links) - _MAX_LINKS} more channels")))
    buttons = [open_button(row.dashboard_url)]
    if can_link:
        label = "Link another channel" if row.links else "Link to a channel"
        style = None if row.links else "primary"
        buttons.insert(
            0, b.button(label, ActionId.LINK_PROJECT, value=press_value(row.project_id), style=style)
        )
    return [b.rich_text(*parts), b.actions(buttons)]


def _link(link: LinkRow) -> Sequence[Element]:
    where = b.channel(link.channel_id) if is_channel_id(link.channel_id) else b.run("a channel")
    what = f" · {_KINDS.get(link.kind, b.clip(clean(link.kind), 40))}"
    if link.undo_window_s is not None:
        what += f" · undo window {link.undo_window_s:g} s"
    problem = f" · ⚠️ {b.clip(clean(link.problem), _MAX_HEALTH)}" if link.problem else ""
    return where, b.run(what + problem)


def _health(row: ProjectRow) -> str:
    health = b.clip(clean(row.health), _MAX_HEALTH)
    return health if row.links else " · ".join(filter(None, ["not linked yet", health]))


def _said(row: ProjectRow) -> str:
    return f"{project_label(row.name)}: {_health(row)}" + (f", {len(row.links)} linked" if row.links else "")


def _named(rows: Sequence[ProjectRow]) -> str:
    names = ", ".join(project_label(row.name) for row in rows[:_MAX_NAMED])
    rest = f" and {len(rows) - _MAX_NAMED} more" if len(rows) > _MAX_NAMED else ""
    return f"Further projects: {names}{rest}."
