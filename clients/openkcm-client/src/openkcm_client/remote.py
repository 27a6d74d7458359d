"""The region's own verbs: encrypting and decrypting for who wants no key in this process, and re-wrapping."""

from __future__ import annotations

from openkcm_client import believe
from openkcm_client.calls import Calls
from openkcm_client.envelope import OVERHEAD_BYTES, parse, parse_envelope
from openkcm_client.errors import BadCiphertext, FormatError
from openkcm_client.gathered import Gathered
from openkcm_client.refused import bad_answer
from openkcm_client.wire import Decrypted, DecryptItem, Encrypted, EncryptItem, RewrapItem, Rewrapped


class Remote:
    """Asks a region; what is asked for in one moment goes in one request."""

    def __init__(self, calls: Calls) -> None:
        self._encrypting: Gathered[EncryptItem, Encrypted] = Gathered(
            calls, "/v1/encrypt", Encrypted, weigh=lambda item: len(item.plaintext) + len(item.aad)
        )
        self._decrypting: Gathered[DecryptItem, Decrypted] = Gathered(
            calls, "/v1/decrypt", Decrypted, weigh=lambda item: len(item.message) + len(item.aad)
        )
        self._rewrapping: Gathered[RewrapItem, Rewrapped] = Gathered(calls, "/v1/rewrap", Rewrapped)

    async def encrypt(self, plaintext: bytes, aad: bytes) -> bytes:
        """A message that the region encrypted."""
        _, done = await self._encrypting.ask(EncryptItem(plaintext=plaintext, aad=aad))
        try:
            parse(done.message)
        except FormatError:
            raise bad_answer("it is no message") from None
        if len(done.message) != len(plaintext) + OVERHEAD_BYTES:
            raise bad_answer("the message is not as long as it must be")
        return done.message

    async def decrypt(self, message: bytes, aad: bytes) -> bytes:
        """The plaintext that the region found."""
        parse(message)  # what is no message is not sent
        _, done = await self._decrypting.ask(DecryptItem(message=message, aad=aad))
        if len(done.plaintext) != len(message) - OVERHEAD_BYTES:
            raise bad_answer("the plaintext is not as long as it must be")
        return done.plaintext

    async def rewrap(self, envelope: bytes) -> bytes:
        """The envelope under the service key that encrypts now, for the same data key."""
        parse_envelope(envelope)
        _, done = await self._rewrapping.ask(RewrapItem(envelope=envelope))
        try:
            return believe.new_envelope(done, envelope)
        except BadCiphertext:
            raise bad_answer("the new envelope is none") from None

    async def end(self) -> None:
        for gathered in (self._encrypting, self._decrypting, self._rewrapping):
            await gathered.end()
