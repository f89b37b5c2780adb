"""The token store: encrypted, shared by processes, one renewal at a time."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from bridge.store.engine import Store
from bridge.store.secrets import KeyRing, KeyTrouble, new_key
from bridge.store.tables import accounts
from bridge.store.tokens import LEASE_S, AccountTokens
from jollor.tokens import RENEWAL_LIMIT, StoredToken, TokenKey, TokenStore

NOW = datetime(2026, 1, 2, 3, tzinfo=UTC)
USER, PROJECT = TokenKey("default"), TokenKey("default", "p1")
RING = KeyRing([new_key()])


def a_token(text: str = "access") -> StoredToken:
    return StoredToken(
        access_token=text, refresh_token="refresh", issued_at=NOW, expires_at=NOW + timedelta(hours=1)
    )


def tokens_of(store: Store, *, ring: KeyRing = RING, lease_s: float = LEASE_S) -> AccountTokens[StoredToken]:
    return AccountTokens(store, ring, StoredToken.model_validate_json, lease_s=lease_s)


@pytest.fixture
async def two_stores(migrated_url: str) -> AsyncIterator[tuple[Store, Store]]:
    """One database as two processes see it."""
    async with Store(migrated_url) as one, Store(migrated_url) as other:
        yield one, other


async def test_it_is_what_the_jollor_client_asks_for(store: Store) -> None:
    wanted: TokenStore = tokens_of(store)
    await wanted.save(USER, a_token("user"))
    await wanted.save(PROJECT, a_token("project"))
    assert await wanted.load(USER) == a_token("user")
    assert await wanted.load(PROJECT) == a_token("project")


async def test_there_is_no_token_before_the_first(store: Store) -> None:
    assert await tokens_of(store).load(USER) is None


async def test_a_token_is_replaced_with_its_times_and_clears_what_was_wrong(store: Store) -> None:
    tokens = tokens_of(store)
    await tokens.save(USER, a_token("old"))
    await store.write(lambda conn: conn.execute(update(accounts).values(problem="refused")).close())
    await tokens.save(USER, a_token("new"))
    assert await tokens.load(USER) == a_token("new")
    row = await store.read(lambda conn: conn.execute(select(accounts)).one())
    assert (row.expires_at, row.renew_at, row.problem) == (
        NOW + timedelta(hours=1),
        NOW + timedelta(minutes=48),
        None,
    )


async def test_nothing_of_a_token_is_readable_in_the_database(store: Store) -> None:
    await tokens_of(store).save(USER, a_token("hush"))
    rows = await store.read(lambda conn: conn.execute(select(accounts)).all())
    assert "hush" not in str(rows)
    assert "refresh" not in str(rows)


async def test_a_wrong_key_is_an_error_and_not_a_missing_token(store: Store) -> None:
    await tokens_of(store).save(USER, a_token())
    with pytest.raises(KeyTrouble):
        await tokens_of(store, ring=KeyRing([new_key()])).load(USER)


async def test_a_token_of_another_form_is_none_and_said(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await tokens_of(store).save(USER, a_token("hush"))
    await store.write(
        lambda conn: conn.execute(update(accounts).values(token=RING.encrypt('{"old": "hush"}'))).close()
    )
    assert await tokens_of(store).load(USER) is None
    assert "tokens.not_understood" in caplog.text
    assert "hush" not in caplog.text


async def test_the_right_to_renew_is_held_by_one_store_at_a_time(two_stores: tuple[Store, Store]) -> None:
    one, other = (tokens_of(store) for store in two_stores)
    seen: list[str] = []

    async def renew(tokens: AccountTokens[StoredToken], name: str) -> None:
        async with tokens.renewing(USER):
            seen.append(f"{name} in")
            current = await tokens.load(USER)
            if current is None:
                await tokens.save(USER, a_token(name))
            seen.append(f"{name} out")

    async with asyncio.TaskGroup() as group:
        for name, tokens in (("a", one), ("b", other), ("c", one), ("d", other)):
            group.create_task(renew(tokens, name))
    assert [entry.split()[1] for entry in seen] == ["in", "out"] * 4
    kept = await one.load(USER)
    assert kept is not None
    assert kept.access_token == seen[0].split()[0]


async def test_different_keys_do_not_wait_for_each_other(two_stores: tuple[Store, Store]) -> None:
    one, other = (tokens_of(store) for store in two_stores)
    async with asyncio.timeout(5):
        async with one.renewing(USER), other.renewing(PROJECT):
            assert await one.load(USER) is None


async def test_a_holder_that_is_gone_loses_its_right_when_the_lease_ends(
    two_stores: tuple[Store, Store],
) -> None:
    gone, heir = (tokens_of(store, lease_s=0.5) for store in two_stores)
    async with gone.renewing(USER):
        async with asyncio.timeout(5), heir.renewing(USER):
            await heir.save(USER, a_token("heir"))
    async with asyncio.timeout(5), heir.renewing(USER):
        assert await heir.load(USER) == a_token("heir")


async def test_a_late_holder_does_not_take_the_right_of_its_heir(two_stores: tuple[Store, Store]) -> None:
    late, heir = tokens_of(two_stores[0], lease_s=0.3), tokens_of(two_stores[1])
    held = late.renewing(USER)
    await held.__aenter__()
    async with heir.renewing(USER):
        await held.__aexit__(None, None, None)
        holders = await two_stores[0].read(
            lambda conn: conn.execute(select(accounts.c.holder)).scalars().all()
        )
        assert holders != [None]


async def test_waiting_is_bounded(two_stores: tuple[Store, Store]) -> None:
    holder, waiter = tokens_of(two_stores[0]), tokens_of(two_stores[1], lease_s=0.3)
    async with holder.renewing(USER):
        with pytest.raises(TimeoutError):
            async with waiter.renewing(USER):
                raise AssertionError("two hold it")


async def test_a_caller_that_is_cancelled_leaves_the_right_free(two_stores: tuple[Store, Store]) -> None:
    one, other = (tokens_of(store) for store in two_stores)

    async def hold() -> None:
        async with one.renewing(USER):
            await asyncio.Event().wait()

    for pause in (0, 0, 0.001, 0.005, 0.05):
        task = asyncio.create_task(hold())
        await asyncio.sleep(pause)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5), other.renewing(USER):
            pass


async def test_an_error_inside_frees_the_right_and_comes_through(store: Store) -> None:
    tokens = tokens_of(store)
    with pytest.raises(ZeroDivisionError):
        async with tokens.renewing(USER):
            _ = 1 / 0
    async with asyncio.timeout(5), tokens.renewing(USER):
        pass


async def test_a_database_that_fails_meanwhile_does_not_hide_what_happened_inside(
    migrated_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        tokens = tokens_of(await stack.enter_async_context(Store(migrated_url)))
        with pytest.raises(ZeroDivisionError):
            async with tokens.renewing(USER):
                await stack.aclose()
                _ = 1 / 0
    assert "tokens.not_given_back" in caplog.text


HOLDER = """
import asyncio, sys
from bridge.store.engine import Store
from bridge.store.secrets import KeyRing, new_key
from bridge.store.tokens import AccountTokens
from jollor.tokens import StoredToken, TokenKey

async def main():
    async with Store(sys.argv[1]) as store:
        tokens = AccountTokens(store, KeyRing([new_key()]), StoredToken.model_validate_json, lease_s=1.0)
        async with tokens.renewing(TokenKey("default")):
            print("held", flush=True)
            await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_process_killed_while_renewing_blocks_others_for_one_lease_only(
    store: Store,
) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, store.url, stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    holder.kill()
    await holder.wait()
    async with asyncio.timeout(10), tokens_of(store).renewing(USER):
        await tokens_of(store).save(USER, a_token("heir"))


def test_the_lease_outlasts_the_longest_renewal() -> None:
    assert timedelta(seconds=LEASE_S) > RENEWAL_LIMIT
