"""What really arrived: at each customer and in each Slack channel. The judge in tests.

The simulated services write here at the moment something takes effect, whatever the caller was told.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sandbox.clock import SandboxClock
from sandbox.wire import current_number


class Cause(StrEnum):
    """Who made something happen at Jollor."""

    API = "api"
    DASHBOARD = "dashboard"
    AUTOMATIC = "automatic"  # Jollor's own agent
    NETWORK = "network"  # the customer, on the network


class ChannelAction(StrEnum):
    """What happened to a line in a Slack channel."""

    POSTED = "posted"
    UPDATED = "updated"
    DELETED = "deleted"


@dataclass(frozen=True)
class CustomerReceipt:
    """One text that a customer, or the public under a post, really received.

    `target` is a conversation id or a post id. `request` is the number of the wire entry that brought it,
    None for what came from the dashboard. `sent_text` is what was asked for, `text` what arrived.
    """

    at: datetime
    project: str
    target: str
    message_id: str
    text: str
    sent_text: str
    cause: Cause
    request: int | None


@dataclass(frozen=True)
class ChannelReceipt:
    """One change of a Slack channel that people saw. `metadata_id` is the id in the message's metadata."""

    at: datetime
    team: str
    channel: str
    ts: str
    thread_ts: str | None
    author: str
    text: str
    action: ChannelAction
    metadata_id: str | None
    request: int | None


class Ledger:
    """Receipts of one sandbox, in the order in which they took effect."""

    def __init__(self, *, clock: SandboxClock) -> None:
        self._clock = clock
        self._watchers: list[Callable[[CustomerReceipt | ChannelReceipt], None]] = []
        self.customers: list[CustomerReceipt] = []
        self.channels: list[ChannelReceipt] = []

    def customer_received(
        self,
        *,
        project: str,
        target: str,
        message_id: str,
        text: str,
        sent_text: str,
        cause: Cause,
    ) -> CustomerReceipt:
        """Write down a receipt of a customer."""
        receipt = CustomerReceipt(
            at=self._clock.now(),
            project=project,
            target=target,
            message_id=message_id,
            text=text,
            sent_text=sent_text,
            cause=cause,
            request=current_number.get() if cause is Cause.API else None,
        )
        self.customers.append(receipt)
        self._tell(receipt)
        return receipt

    def channel_changed(
        self,
        *,
        team: str,
        channel: str,
        ts: str,
        thread_ts: str | None,
        author: str,
        text: str,
        action: ChannelAction = ChannelAction.POSTED,
        metadata_id: str | None = None,
    ) -> ChannelReceipt:
        """Write down a change of a channel."""
        receipt = ChannelReceipt(
            at=self._clock.now(),
            team=team,
            channel=channel,
            ts=ts,
            thread_ts=thread_ts,
            author=author,
            text=text,
            action=action,
            metadata_id=metadata_id,
            request=current_number.get(),
        )
        self.channels.append(receipt)
        self._tell(receipt)
        return receipt

    def of_customer(
        self, target: str, *, project: str | None = None, cause: Cause | None = None
    ) -> list[CustomerReceipt]:
        """What arrived in a conversation or under a post, in order."""
        return [
            receipt
            for receipt in self.customers
            if receipt.target == target
            and (project is None or receipt.project == project)
            and (cause is None or receipt.cause is cause)
        ]

    def of_channel(self, channel: str, *, thread_ts: str | None = None) -> list[ChannelReceipt]:
        """What happened in a channel, or in one thread of it without its root, in order."""
        return [
            receipt
            for receipt in self.channels
            if receipt.channel == channel and (thread_ts is None or receipt.thread_ts == thread_ts)
        ]

    def watch(self, watcher: Callable[[CustomerReceipt | ChannelReceipt], None]) -> None:
        """Call `watcher` with every receipt from now on."""
        self._watchers.append(watcher)

    def _tell(self, receipt: CustomerReceipt | ChannelReceipt) -> None:
        for watcher in self._watchers:
            watcher(receipt)
