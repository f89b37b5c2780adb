"""Encryption at rest: what the keys do, and what happens with a wrong or missing one."""

from __future__ import annotations

import base64
import stat
import threading
from pathlib import Path

import pytest

from bridge.store.secrets import KeyRing, KeyTrouble, key_path, new_key, open_ring


def test_what_was_encrypted_is_read_again_and_not_readable_in_between() -> None:
    ring = KeyRing([new_key()])
    sealed = ring.encrypt("a secret, ünïcode")
    assert "secret" not in sealed
    assert ring.decrypt(sealed) == "a secret, ünïcode"


def test_the_first_key_encrypts_and_all_of_them_decrypt() -> None:
    old, new = new_key(), new_key()
    sealed = KeyRing([old]).encrypt("s")
    both = KeyRing([new, old])
    assert both.decrypt(sealed) == "s"
    assert KeyRing([new]).decrypt(both.encrypt("t")) == "t"


def test_rotating_moves_a_value_to_the_first_key() -> None:
    old, new = new_key(), new_key()
    rotated = KeyRing([new, old]).rotate(KeyRing([old]).encrypt("s"))
    assert KeyRing([new]).decrypt(rotated) == "s"


@pytest.mark.parametrize("act", ["decrypt", "rotate"])
def test_a_wrong_key_is_a_sentence_that_says_where_keys_come_from(act: str) -> None:
    sealed = KeyRing([new_key()]).encrypt("s")
    with pytest.raises(KeyTrouble) as caught:
        getattr(KeyRing([new_key()]), act)(sealed)
    assert "none of the keys in BRIDGE_ENCRYPTION_KEYS" in caught.value.user_message
    assert "nothing was changed" in caught.value.user_message


def test_a_changed_value_is_refused() -> None:
    ring = KeyRing([new_key()])
    raw = bytearray(base64.urlsafe_b64decode(ring.encrypt("a secret")))
    raw[-1] ^= 1
    with pytest.raises(KeyTrouble):
        ring.decrypt(base64.urlsafe_b64encode(bytes(raw)).decode())


def test_a_key_in_plain_base64_is_as_good() -> None:
    raw = bytes(range(191, 223))
    plain, url_safe = base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()
    assert plain != url_safe
    assert KeyRing([url_safe]).decrypt(KeyRing([plain]).encrypt("s")) == "s"


CUT_KEY = base64.urlsafe_b64encode(bytes(32)).decode()[:-2]


@pytest.mark.parametrize("key", ["hush", "aHVzaA==", "ä" * 44, CUT_KEY])
def test_an_unusable_key_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(KeyTrouble) as caught:
        KeyRing([key])
    assert "32 bytes in Base64" in caught.value.user_message
    assert key not in caught.value.user_message


def test_the_first_start_makes_a_key_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    database = tmp_path / "data" / "bridge.db"
    sealed = open_ring([], database).encrypt("s")
    assert stat.S_IMODE(key_path(database).stat().st_mode) == 0o600
    assert [path.name for path in database.parent.iterdir()] == ["bridge.db.key"]
    assert open_ring([], database).decrypt(sealed) == "s"


def test_starts_at_the_same_time_end_up_with_one_key(tmp_path: Path) -> None:
    database = tmp_path / "bridge.db"
    sealed: list[str] = []
    threads = [
        threading.Thread(target=lambda: sealed.append(open_ring([], database).encrypt("s"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ring = open_ring([], database)
    assert [ring.decrypt(one) for one in sealed] == ["s"] * 8


def test_keys_of_the_settings_make_no_file(tmp_path: Path) -> None:
    open_ring([new_key()], tmp_path / "bridge.db")
    assert list(tmp_path.iterdir()) == []


def test_postgres_without_keys_is_refused() -> None:
    with pytest.raises(KeyTrouble) as caught:
        open_ring([], None)
    assert "BRIDGE_ENCRYPTION_KEYS is missing" in caught.value.user_message


def test_an_empty_key_file_is_not_replaced(tmp_path: Path) -> None:
    key_path(tmp_path / "bridge.db").touch()
    with pytest.raises(KeyTrouble) as caught:
        open_ring([], tmp_path / "bridge.db")
    assert "holds no encryption key" in caught.value.user_message


def test_a_key_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    key_path(tmp_path / "bridge.db").mkdir()
    with pytest.raises(KeyTrouble) as caught:
        open_ring([], tmp_path / "bridge.db")
    assert "cannot be read" in caught.value.user_message


def test_a_running_process_takes_up_a_changed_key_file(tmp_path: Path) -> None:
    database = tmp_path / "bridge.db"
    running = open_ring([], database)
    before = running.encrypt("before")
    old = key_path(database).read_text()
    replacement = tmp_path / "replacement"
    replacement.write_text(f"{new_key()}\n{old}")
    replacement.replace(key_path(database))
    after = KeyRing.of_file(key_path(database)).encrypt("after")
    assert running.decrypt(after) == "after"
    assert running.decrypt(before) == "before"
