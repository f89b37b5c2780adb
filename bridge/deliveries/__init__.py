"""What the bridge owes Slack: a row before it is a call.

A delivery is a post (root card, message, notice), an update of one, a deletion, or a mark. It is put within
the transaction that records why (`owe`). States: `ready` → `sending` → `done`, or `uncertain` (sent, no
answer: look before posting again), or `refused`.

Claiming is the pacing (`turn`, `claim`): a row is taken only when its rate buckets are open, and taking it
closes them for their interval. Buckets are rows, so several processes share Slack's allowance. Posts of one
thread keep their order (a root first), and so do drawings of one message and marks of one line; notices wait
for nobody but the root. Messages that wait behind each other are joined into one post (`join`). What replaces
a mark or a drawing waits while an attempt at that may still take effect (`late`). `sending` records what
became of each call; `bridge.sender` makes the calls.
"""

from bridge.deliveries.dead import DeliveryNumber, dead, drop_dead, numbered, retry_dead
from bridge.deliveries.join import separate
from bridge.deliveries.owe import (
    put_channel_post,
    put_delete,
    put_mark,
    put_notice,
    put_reply,
    put_root,
    put_update,
    shown_in,
)
from bridge.deliveries.row import (
    ACTIVE,
    WAITING,
    Act,
    Delivery,
    Priority,
    Shown,
    State,
    channel_target,
    post_bucket,
    team_target,
    thread_lane,
)
from bridge.deliveries.sending import Deliveries
from bridge.deliveries.tidy import forget_old

__all__ = [
    "ACTIVE",
    "WAITING",
    "Act",
    "Deliveries",
    "Delivery",
    "DeliveryNumber",
    "Priority",
    "Shown",
    "State",
    "channel_target",
    "dead",
    "drop_dead",
    "forget_old",
    "numbered",
    "post_bucket",
    "put_channel_post",
    "put_delete",
    "put_mark",
    "put_notice",
    "put_reply",
    "put_root",
    "put_update",
    "retry_dead",
    "separate",
    "shown_in",
    "team_target",
    "thread_lane",
]
