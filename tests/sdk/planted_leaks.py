"""Key stores that tell what nobody may be told, each in another place."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from openkcm.sdk.key_store import Answered, Context, Described, Finding, Wrapped
from tests.sdk.planted_wrapping import ANYWHERE, Honest

TELLS = "test_nothing_secret_is_told_of_a_wrong_credential[identity]"


class LeaksByRepresentation(Honest):
    """Its representation shows its credentials."""

    caught_by = TELLS

    def __repr__(self) -> str:
        return f"LeaksByRepresentation({self._connection.secrets})"


class LeaksByMessage(Honest):
    """Its error says with which password it was refused."""

    caught_by = TELLS

    async def describe(self) -> Described:
        try:
            return await super().describe()
        except Answered as refused:
            refused.args = (f"{refused.code}: {self._caller.password}",)
            raise


class LeaksByCause(Honest):
    """The vendor's error hangs on, with the credential in its words."""

    caught_by = TELLS

    async def describe(self) -> Described:
        try:
            return await super().describe()
        except Answered as refused:
            raise Answered(refused.code) from ValueError(f"Authorization: Basic {self._caller.password}")


class LeaksByContext(Honest):
    """The same, and ``from None`` hides it from a traceback alone."""

    caught_by = TELLS

    async def describe(self) -> Described:
        try:
            return await super().describe()
        except Answered as refused:
            try:
                raise ValueError(f"Authorization: Basic {self._caller.password}")
            except ValueError:
                raise Answered(refused.code) from None


class LeaksByLog(Honest):
    """It logs what it is about to send."""

    caught_by = TELLS

    async def describe(self) -> Described:
        logging.getLogger("vendor.sdk").debug("sending", extra={"headers": {"x-pass": self._caller.password}})
        return await super().describe()


class LeaksTheKey(Honest):
    """It logs the key that it wraps."""

    caught_by = "test_a_key_comes_back_as_it_was"

    async def wrap(self, key: bytes, context: Context) -> Wrapped:
        if context != ANYWHERE:
            logging.getLogger("vendor.sdk").debug("wrapping %s", key.hex())
        return await super().wrap(key, context)


class LeaksByFinding(Honest):
    """A finding repeats the wrong password."""

    caught_by = "test_nothing_secret_is_told_of_a_wrong_credential[password]"

    async def check(self) -> Sequence[Finding]:
        return [
            replace(each, said=f"{each.said} ({self._caller.password})") for each in await super().check()
        ]
