"""What happened to one message, hop by hop: read from what is stored, in words, without anybody's text.

`hop` is the data, `words` how the bridge's codes are said; `jobs`, `deliveries`, `lines` and `messages` tell
the hops of each, `find` what a link or an id names, `followed` what came of a job. Both the slash command and
`jollor-slack jobs show` answer from here.
"""

from bridge.trace.deliveries import delivery_hops
from bridge.trace.find import traced
from bridge.trace.followed import followed, job_trace
from bridge.trace.hop import Hop, Trace, in_order
from bridge.trace.words import because, delivery_in_words, kind_in_words

__all__ = [
    "Hop",
    "Trace",
    "because",
    "delivery_hops",
    "delivery_in_words",
    "followed",
    "in_order",
    "job_trace",
    "kind_in_words",
    "traced",
]
