"""The alert about a social profile that lost its connection."""

from __future__ import annotations

from bridge.content import ActionId, ProfileAlert
from slack_app import blocks as b
from slack_app.blocks import RenderedMessage
from slack_app.ids import is_user_id
from slack_app.markup import escaped, time_of
from slack_app.views.card import open_button, project_label

_MEANING = (
    "Until it is connected again, messages and posts of that profile may not arrive here and replies may not "
    "go out. Jollor does not say which profile it is: look for it in the project's settings, sign in again "
    "there, then mark it here as reconnected."
)


def profile_alert(alert: ProfileAlert) -> RenderedMessage:
    """The alert, its reminder, or, once somebody cleared it, what became of it."""
    project = project_label(alert.project_name)
    if alert.cleared_at is not None:
        return _cleared(alert, project)
    title = f"⚠️ {'Still: a' if alert.is_reminder else 'A'} social profile of {project} lost its connection"
    since = f"Since {time_of(alert.since)}" + (f" · reported {alert.count} times" if alert.count > 1 else "")
    return b.message(
        f"{escaped(title)}\n{since}\n{_MEANING}",
        [
            b.rich_text(b.section_of(b.run(title, bold=True))),
            b.section(b.plain(_MEANING)),
            b.context(b.mrkdwn(since)),
            b.actions(
                [
                    open_button(alert.dashboard_url),
                    b.button(
                        "Mark as reconnected",
                        ActionId.MARK_RECONNECTED,
                        value=alert.alert_id,
                        style="primary",
                    ),
                ]
            ),
        ],
    )


def _cleared(alert: ProfileAlert, project: str) -> RenderedMessage:
    assert alert.cleared_at is not None
    title = f"✅ A social profile of {project} was reconnected"
    by = alert.cleared_by if alert.cleared_by is not None and is_user_id(alert.cleared_by) else None
    person = f"<@{by}>" if by is not None else "somebody"
    facts = f"Marked by {person} · {time_of(alert.cleared_at)} · lost since {time_of(alert.since)}"
    return b.message(
        f"{escaped(title)}\n{facts}",
        [b.rich_text(b.section_of(b.run(title, bold=True))), b.context(b.mrkdwn(facts))],
    )
