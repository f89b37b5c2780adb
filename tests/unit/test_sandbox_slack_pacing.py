"""The simulated Slack's rate limits, on the scaled clock."""

import pytest

from sandbox.clock import SandboxClock
from sandbox.slack.pacing import Limit, Limits, Pacing


class Watch(Pacing):
    """Pacing whose time a test moves."""

    now_s = 0.0

    def clock_s(self) -> float:
        return self.now_s


def a_pacing(**limits: object) -> Watch:
    pacing = Watch(SandboxClock(), Limits())
    for name, value in limits.items():
        setattr(pacing.limits, name, value)
    return pacing


def post(pacing: Pacing, channel: str = "C1", team: str = "T1") -> int:
    return pacing.wait_for(team, "chat.postMessage", None, channel)


def test_a_channel_takes_a_small_burst_and_then_one_post_a_second() -> None:
    pacing = a_pacing(post_per_channel=Limit(60, 3))
    assert [post(pacing) for _ in range(5)] == [0, 0, 0, 1, 1]
    pacing.now_s = 1.0
    assert [post(pacing) for _ in range(2)] == [0, 1]
    assert pacing.refused == {("chat.postMessage", "C1"): 3}


def test_a_workspace_takes_several_hundred_posts_a_minute_over_all_channels() -> None:
    pacing = a_pacing(post_per_team=Limit(300, 10))
    passed = sum(post(pacing, f"C{n}") == 0 for n in range(20))
    assert passed == 10
    assert post(pacing, "C99", team="T2") == 0


def test_a_refused_call_takes_nothing_from_any_bucket() -> None:
    pacing = a_pacing(post_per_channel=Limit(60, 1), post_per_team=Limit(300, 2))
    assert [post(pacing), post(pacing), post(pacing), post(pacing, "C2")] == [0, 1, 1, 0]


@pytest.mark.parametrize(("tier", "wait_s"), [(1, 60), (2, 3), (3, 2), (4, 1)])
def test_a_tier_allows_so_many_calls_a_minute(tier: int, wait_s: int) -> None:
    pacing = a_pacing()
    burst = pacing.limits.tiers[tier].burst
    assert [pacing.wait_for("T1", "m", tier, None) for _ in range(burst + 1)] == [0] * burst + [wait_s]
    assert pacing.refused == {("m", ""): 1}


def test_who_waits_as_long_as_told_passes() -> None:
    pacing = a_pacing()
    for _ in range(500):
        pacing.now_s += pacing.wait_for("T1", "reactions.remove", 2, None)
    assert pacing.now_s == pytest.approx(500 * 3 / 2, rel=0.1)


def test_restricted_reads_pass_once_a_minute() -> None:
    pacing = a_pacing(reads_are_restricted=True)
    assert pacing.wait_for("T1", "conversations.replies", 3, "C1") == 0
    assert pacing.wait_for("T1", "conversations.replies", 3, "C2") == 60
    assert pacing.wait_for("T1", "conversations.info", 3, "C2") == 0


def test_switched_off_everything_passes() -> None:
    pacing = a_pacing(enabled=False)
    assert [post(pacing) for _ in range(100)] == [0] * 100
