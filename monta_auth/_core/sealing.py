"""Encrypt the records in a store, so that they are useless without the client secret.

Someone who can read the store sees only opaque bytes and names. Without the secret, a record can be
destroyed, but not found, read, forged or used by another client.
"""

from __future__ import annotations

import hashlib
import json
import logging
from base64 import urlsafe_b64encode
from importlib.util import find_spec

from .replies import as_object, hidden_strings
from .secret import hidden
from .tokens import TokenSet

logger = logging.getLogger("monta_auth")

#: Names and keys derive from this too, so records in another format have other names.
_FORM = "monta-auth 1"
#: In characters. Two tokens of 8,192 characters take less than half of it.
_LONGEST = 1 << 16


def require_cryptography() -> None:
    """Raise an ImportError that names the extra, unless the package can be imported."""
    if find_spec("cryptography") is None:
        raise ImportError("store= needs the cryptography package: pip install 'monta-auth[store]'")


class Seal:
    """Encrypt the records of one client id and secret at one base URL.

    It holds a key derived from the secret with HKDF-SHA256 (RFC 5869), not the secret itself.
    Records are Fernet tokens: AES-128-CBC with HMAC-SHA256.

    Attributes:
        name: the name of the record: 32 hexadecimal digits from the same derivation.
    """

    def __init__(self, base_url: str, client_id: str, secret: str) -> None:
        secret = hidden(secret)
        # Imported at the first use of a store, because the import takes a while.
        from cryptography.fernet import Fernet
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        info = json.dumps([_FORM, base_url, client_id]).encode()
        derived = hidden(HKDF(SHA256(), 48, None, info).derive(secret.encode()))
        self.name = derived[:16].hex()
        self._fernet = Fernet(urlsafe_b64encode(derived[16:]))
        self._warned = b""

    def seal(self, pair: TokenSet) -> bytes:
        """Return the record of a token pair, in URL-safe ASCII."""
        return self._fernet.encrypt(json.dumps(pair.to_dict()).encode())

    def open(self, record: bytes | None) -> TokenSet | None:
        """Return the token pair in a record; None if there is no record or it cannot be decrypted.

        The log reports such a record once.
        """
        from cryptography.fernet import InvalidToken

        if record is None:
            return None
        try:
            # Python 3.15 warns of a "+" or "/", which seal() never writes. A program that turns
            # warnings into errors would lose a request.
            if len(record) <= _LONGEST and b"+" not in record and b"/" not in record:
                text = hidden(self._fernet.decrypt(record))
                return TokenSet.from_dict(
                    as_object(json.loads(bytes(text), object_pairs_hook=hidden_strings))
                )
        except (InvalidToken, ValueError):
            pass
        digest = hashlib.sha256(record).digest()
        if digest != self._warned:
            self._warned = digest
            logger.warning(
                "the record %s in the token store cannot be decrypted: it is treated as missing, "
                "and replaced by the next token pair",
                self.name,
            )
        return None

    def __repr__(self) -> str:
        return f"Seal({self.name!r})"
