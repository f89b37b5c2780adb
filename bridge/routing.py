"""Which of a project's links take something. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.model import Link, LinkKind


def choose(links: Sequence[Link], wanted: LinkKind) -> list[Link]:
    """Return one link per channel among those that take `wanted`, the oldest first.

    For alerts: the channels meant for alerts, else those that take everything, else any.
    """
    taking = [link for link in links if link.kind.takes(wanted)]
    if wanted is LinkKind.ALERT:
        dedicated = [link for link in taking if link.kind is LinkKind.ALERT]
        taking = dedicated or taking or list(links)
    by_channel = {(link.team, link.channel): link for link in reversed(taking)}
    return sorted(by_channel.values(), key=lambda link: (link.linked_at, link.id))
