"""What the cards of conversations and posts show, from stored facts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from bridge.content import (
    ActionId,
    Button,
    Card,
    CardState,
    Content,
    Notice,
    PostCard,
    from_json,
    inert,
    to_json,
)
from bridge.deliveries import Delivery, put_update
from bridge.ids import ProjectId
from bridge.links import project_name
from bridge.mapping import conversation, thread_by_id, threads_of, update_conversation
from bridge.model import Target, TargetKind
from bridge.store.tables import deliveries, threads

DEBOUNCE = timedelta(seconds=3)
"""How long a card's change waits for the next one."""


class Cards:
    """Draws and redraws the roots of threads."""

    def __init__(self, *, dashboard_url: str, scale: float = 1.0) -> None:
        self._dashboard_url = dashboard_url.rstrip("/")
        self._scale = scale

    def dashboard(self, project: ProjectId) -> str:
        """Return the project's page for people."""
        return f"{self._dashboard_url}/projects/{project}"

    def button(self, project: ProjectId) -> Button:
        """Return a button that opens the project's page."""
        return Button(action=ActionId.OPEN_DASHBOARD, label="Open in Jollor", url=self.dashboard(project))

    def card(
        self, conn: Connection, target: Target, *, provider: str, customer: str, text: str, state: CardState
    ) -> Card:
        """Return the root of a conversation's thread."""
        return Card(
            project_name=project_name(conn, target.project),
            provider=provider,
            customer=customer,
            text=text,
            state=state,
            dashboard_url=self.dashboard(target.project),
        )

    def set_state(self, conn: Connection, now: datetime, target: Target, state: CardState) -> None:
        """Record where a conversation stands, and owe its cards the change."""
        if target.kind is not TargetKind.CONVERSATION:
            return
        known = conversation(conn, target.project, target.conversation)
        if known is None or known.state is state:
            return
        update_conversation(conn, target.project, target.conversation, state=state)
        for thread in threads_of(conn, target):
            row = _root_row(conn, thread.id)
            if row is None:
                continue
            content = from_json(row["content"])
            if not isinstance(content, Card):
                continue
            changed = content.model_copy(update={"state": state})
            conn.execute(
                update(deliveries).where(deliveries.c.id == row["id"]).values(content=to_json(changed))
            )
            if thread.root_ts is not None:
                put_update(
                    conn,
                    now,
                    thread.team,
                    thread.channel,
                    thread.root_ts,
                    "card",
                    changed,
                    delay=DEBOUNCE / self._scale,
                )

    def root_again(self, conn: Connection, one: Delivery) -> Content:
        """Return the card for a thread whose root was deleted, saying so."""
        assert one.thread is not None
        row = _root_row(conn, one.thread)
        content = None if row is None else from_json(row["content"])
        if isinstance(content, Card | PostCard):
            return content.model_copy(update={"continued": True})
        thread = thread_by_id(conn, one.thread)
        name = "" if thread is None else project_name(conn, thread.target.project)
        return Notice(text=f"The first message of this thread was deleted; it goes on here ({inert(name)}).")


def _root_row(conn: Connection, thread: str) -> Any:
    return (
        conn.execute(
            select(deliveries.c.id, deliveries.c.content)
            .join(threads, threads.c.root_delivery == deliveries.c.id)
            .where(threads.c.id == thread)
        )
        .mappings()
        .first()
    )
