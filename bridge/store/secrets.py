"""What is secret is encrypted before it is stored: Fernet (AES-128-CBC, HMAC-SHA256) and a ring of keys.

The first key encrypts, all of them decrypt. The keys come from a setting or, on SQLite, from a file beside
the database that is made on the first start. `docs/security.md` says what this protects against.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import Column, Connection, Table, delete, select, update

from bridge.errors import BridgeError
from bridge.store.engine import Store
from bridge.store.tables import accounts, webhooks

ENCRYPTED: tuple[tuple[Table, Column[str]], ...] = (
    (accounts, accounts.c.token),
    (webhooks, webhooks.c.secret),
)
"""Every column that holds ciphertext."""

KEY_BYTES = 32


class KeyTrouble(BridgeError):
    """The keys are not usable, or do not open what is stored. Nothing was changed."""


def new_key() -> str:
    """Return a fresh key as it is written in settings and key files."""
    return Fernet.generate_key().decode()


def key_path(database: Path) -> Path:
    """Return where the keys of a SQLite file are kept if no setting names any."""
    return database.with_name(f"{database.name}.key")


class KeyRing:
    """Encrypts and decrypts. One from a file notices when another process has changed the file."""

    def __init__(self, keys: Sequence[str], *, path: Path | None = None) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self._use(keys)

    def _use(self, keys: Sequence[str]) -> None:
        self._keys = tuple(keys)
        self._fernet = MultiFernet([_fernet(key, self.source) for key in keys])

    @classmethod
    def of_file(cls, path: Path) -> KeyRing:
        """Read the keys of `path`. Raises `KeyTrouble` if there are none."""
        return cls(_read(path), path=path)

    @property
    def source(self) -> str:
        """Where the keys come from, in words."""
        return "BRIDGE_ENCRYPTION_KEYS" if self._path is None else str(self._path)

    @property
    def path(self) -> Path | None:
        """The key file, None if a setting holds the keys."""
        return self._path

    def encrypt(self, text: str) -> str:
        """Return `text` encrypted with the first key."""
        self._refresh()
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, stored: str) -> str:
        """Return what `encrypt` was given. Raises `KeyTrouble` if no key opens it or it was changed."""
        self._refresh()
        try:
            return self._fernet.decrypt(stored.encode()).decode()
        except InvalidToken as error:
            raise self._trouble() from error

    def rotate(self, sealed: str) -> str:
        """Return `sealed` encrypted anew with the first key. Raises `KeyTrouble`."""
        try:
            return self._fernet.rotate(sealed.encode()).decode()
        except InvalidToken as error:
            raise self._trouble() from error

    def _refresh(self) -> None:
        stamp = _stamp(self._path)
        if self._path is not None and stamp is not None and stamp != self._stamp:
            self._use(_read(self._path))
            self._stamp = stamp

    def _trouble(self) -> KeyTrouble:
        return KeyTrouble(
            "wrong_key",
            user_message=f"What is stored encrypted opens with none of the keys in {self.source}: "
            "put back the key that it was written with; nothing was changed.",
        )


def open_ring(keys: Sequence[str], database: Path | None) -> KeyRing:
    """Return the ring of the settings, else that of the file beside `database`, made if it is not there.

    `database` None means PostgreSQL, where the settings must hold the keys. Raises `KeyTrouble`.
    """
    if keys:
        return KeyRing(keys)
    if database is None:
        raise KeyTrouble(
            "no_keys", user_message="BRIDGE_ENCRYPTION_KEYS is missing: on PostgreSQL it has to hold a key."
        )
    path = key_path(database)
    if not path.exists():
        _create(path, [new_key()])
    return KeyRing.of_file(path)


async def check(store: Store, ring: KeyRing) -> None:
    """Raise `KeyTrouble` if anything stored cannot be decrypted, before something is written over it."""

    def look(conn: Connection) -> list[str]:
        return [
            sealed
            for _, column in ENCRYPTED
            for sealed in conn.execute(select(column).where(column.is_not(None))).scalars()
        ]

    for sealed in await store.read(look):
        ring.decrypt(sealed)


async def rotate(store: Store, ring: KeyRing) -> int:
    """Encrypt everything anew with the first key, all or nothing; return how many values that were.

    Where the keys live in a file, a new key is put in front first and the one used so far is kept behind it,
    for a process that is encrypting with it this moment. Raises `KeyTrouble`.
    """
    await check(store, ring)
    if ring.path is not None:
        ring = _renewed(ring.path)
    return await store.write(lambda conn: _rotate(conn, ring))


def _rotate(conn: Connection, ring: KeyRing) -> int:
    count = 0
    for table, column in ENCRYPTED:
        keys = list(table.primary_key.columns)
        rows = conn.execute(select(*keys, column).where(column.is_not(None)).with_for_update()).all()
        for *values, sealed in rows:
            row = (key == value for key, value in zip(keys, values, strict=True))
            conn.execute(update(table).where(*row).values({column: ring.rotate(sealed)}))
            count += 1
    return count


async def forget_unreadable(store: Store, ring: KeyRing) -> int:
    """Delete what no key opens, where the right key is gone for good; return how many values that were.

    Accounts then sign in anew; a project without its webhook's secret has to be linked again.
    """
    return await store.write(lambda conn: _forget(conn, ring))


def _forget(conn: Connection, ring: KeyRing) -> int:
    count = 0
    for table, column in ENCRYPTED:
        keys = list(table.primary_key.columns)
        for *values, sealed in conn.execute(select(*keys, column).where(column.is_not(None))).all():
            try:
                ring.decrypt(sealed)
            except KeyTrouble:
                row = (key == value for key, value in zip(keys, values, strict=True))
                conn.execute(delete(table).where(*row))
                count += 1
    return count


def _renewed(path: Path) -> KeyRing:
    """Put a new key in front of those in `path`; only the one in use so far stays."""
    keys = [new_key(), _read(path)[0]]
    temporary = _written(path, keys)
    temporary.replace(path)
    _sync_folder(path.parent)
    return KeyRing.of_file(path)


def _create(path: Path, keys: Sequence[str]) -> None:
    """Make the key file, whole or not at all; if another process was faster, its file stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _written(path, keys)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
    _sync_folder(path.parent)


def _written(path: Path, keys: Sequence[str]) -> Path:
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("".join(f"{key}\n" for key in keys))
        file.flush()
        os.fsync(descriptor)
    return temporary


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> list[str]:
    try:
        keys = path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyTrouble(
            "no_keys", user_message=f"The encryption keys in {path} cannot be read; look at its permissions."
        ) from error
    if not keys:
        raise KeyTrouble("no_keys", user_message=f"{path} holds no encryption key; put back the one it held.")
    return keys


def _fernet(key: str, source: str) -> Fernet:
    """Accept both alphabets of Base64, so that `openssl rand -base64 32` makes a key."""
    try:
        raw = base64.b64decode(key.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise KeyTrouble(
            "bad_key", user_message=f"A key in {source} is not usable: expected {KEY_BYTES} bytes in Base64."
        )
    return Fernet(base64.urlsafe_b64encode(raw))


def _stamp(path: Path | None) -> tuple[int, int] | None:
    if path is None:
        return None
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns
