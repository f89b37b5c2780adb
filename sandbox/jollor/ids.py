"""Identifiers as Jollor and the networks make them, from a seed."""

import base64
import hashlib
from random import Random

_BASE64_LIKE = frozenset({"facebook", "instagram", "linkedin"})


class Ids:
    """Makes ids, the same ones in the same order for the same seed.

    Jollor's own ids are 24 hexadecimal characters, or digits only while `numeric` is set. A conversation id
    is the network's: two long decimal numbers joined by an underscore, or Base64-like with `/`, `+` and `=`,
    so that percent-encoding in paths is put to the test.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.numeric = False

    def object_id(self) -> str:
        """Id of a user, agency, project, post, message, profile or dialogue."""
        if self.numeric:
            return str(self._random.randrange(10**11, 10**12))
        return f"{self._random.getrandbits(96):024x}"

    def conversation_id(self, provider: str) -> str:
        """Id of a private conversation, in the form that suits the network."""
        if provider in _BASE64_LIKE:
            raw = base64.b64encode(self._random.randbytes(25)).decode("ascii")
            return f"aWdf/{raw[:20]}+{raw[20:34]}=="
        return f"{self._decimal()}_{self._decimal()}"

    def secret(self) -> str:
        """A shared secret: 40 hexadecimal characters."""
        return f"{self._random.getrandbits(160):040x}"

    def token(self, prefix: str) -> str:
        """An opaque token."""
        return f"{prefix}_{self._random.getrandbits(160):040x}"

    def _decimal(self) -> str:
        return str(self._random.randrange(10**18, 10**19))


def person_id(provider: str, name: str) -> str:
    """The id of a person on a network: the same name is the same person. 24 hexadecimal characters."""
    return hashlib.sha256(f"{provider}/{name}".encode()).hexdigest()[:24]
