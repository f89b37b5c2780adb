"""Sends deliveries: claims rows as their buckets open, calls Slack, records what became of each.

`loop` takes rows, keeps their leases and takes back what lost senders held; `acts` makes the calls for one
row and knows what each answer means for it.
"""

from bridge.sender.acts import RootCard
from bridge.sender.loop import LEASE_S, Sender

__all__ = ["LEASE_S", "RootCard", "Sender"]
