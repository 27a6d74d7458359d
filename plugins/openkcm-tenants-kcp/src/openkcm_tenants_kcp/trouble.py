"""What kcp's refusals mean to people: our own words, and what ends it."""

from __future__ import annotations

from openkcm.sdk.refusals import Refusal, Remedy, Temporary
from openkcm.sdk.tenant_source import Problem
from openkcm_tenants_kcp.api import Answered, Failed, TooLarge, Unreadable

_PAGE = "plugins/tenants-kcp#trouble"


def said_of(failed: Failed) -> tuple[str, str]:
    """What is wrong, and what to do."""
    if isinstance(failed, TooLarge):
        return "One object is larger than 32 MiB and cannot be taken.", "Find out who made it, and remove it."
    if isinstance(failed, Unreadable):
        return f"kcp answers, but {failed}.", "Find out who wrote it, and correct it."
    if not isinstance(failed, Answered):
        return (
            f"kcp does not answer: {failed}.",
            "Look at kcp, its address and its certificate in the kubeconfig.",
        )
    if failed.status == 401:
        return (
            "kcp does not accept who we are (401): the token or the certificate is wrong or has expired.",
            "Renew the credentials, and start the worker again: it reads the kubeconfig at its start.",
        )
    if failed.status == 403:
        return (
            "kcp does not allow it (403).",
            "Give this identity the rights that `openkcm kcp manifests` lists; `openkcm doctor` says what is missing.",
        )
    if failed.status == 404:
        return (
            "kcp does not serve it (404).",
            "Apply what `openkcm kcp manifests` prints to the provider's workspace.",
        )
    if failed.status == 429:
        return "kcp is asked too often (429).", "Nothing: it is asked again later."
    return f"kcp failed at it ({failed.status}).", "Look at kcp's own log."


def unavailable(failed: Failed) -> Temporary:
    """The refusal of a kcp that cannot be read now; no tenant is uninstalled by it."""
    what, remedy = said_of(failed)
    return Temporary(
        Refusal.SOURCE_UNAVAILABLE,
        f"The tenants of kcp cannot be read. {what} They stay as they are meanwhile.",
        remedy=Remedy(remedy, "Platform operator", _PAGE),
        retry_after_s=failed.retry_after_s or None,
    )


def not_written(failed: Failed) -> Temporary:
    """The refusal of a status that did not get into the tenant's workspace."""
    what, remedy = said_of(failed)
    return Temporary(
        Refusal.STATUS_NOT_WRITTEN,
        f"The status was not written into the account's workspace. {what}",
        remedy=Remedy(remedy, "Platform operator", _PAGE),
        retry_after_s=failed.retry_after_s or None,
    )


def most_gone(how_many: int, export: str, wait_s: float) -> Problem:
    """Most accounts have vanished at once: the operator is told before it counts."""
    return Problem(
        origin=f"APIExportEndpointSlice {export}",
        line=None,
        refusal=Refusal.SOURCE_UNAVAILABLE,
        message=f"{how_many} accounts, most of all, are shown by no endpoint of kcp any more. They go on as they are, "
        f"and count as uninstalled {wait_s:g} s after they vanished. If that is not meant, look at the slice and at "
        "the export's bindings.",
    )


def problem_of(failed: Failed, where: str) -> Problem:
    """The same, as an entry in the source's list."""
    what, remedy = said_of(failed)
    return Problem(origin=where, line=None, refusal=Refusal.SOURCE_UNAVAILABLE, message=f"{what} {remedy}")
