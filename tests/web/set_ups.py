"""The set-up's page in every state."""

from __future__ import annotations

from openkcm.provisioning.view import Outcome, ProvisioningPage, SetupState, StepLine
from openkcm.sdk.refusals import Remedy
from tests.web.content import ALL_DONE, DONE, HOSTILE, PERMISSION, not_begun, setup, waiting

SETUPS: dict[str, ProvisioningPage] = {
    "setup-first-second": setup(
        elapsed_s=0.3,
        protected_at=None,
        regions=(),
        steps=(
            StepLine(name="admit", outcome=Outcome.RUNNING, took_s=0.3),
            *waiting("assign", "mint", "activate", "grant", "publish", "announce", "notify"),
        ),
    ),
    "setup-running": setup(),
    "setup-late": setup(
        elapsed_s=72,
        protected_at=None,
        told=("you", "the operator"),
        steps=(
            *DONE[:2],
            StepLine(
                name="mint",
                outcome=Outcome.RETRYING,
                detail="The region Stockholm does not answer.",
                attempt=9,
                next_in_s=21,
            ),
            *waiting("activate", "grant", "publish", "announce", "notify"),
        ),
    ),
    "setup-over": setup(
        elapsed_s=312,
        owner=None,
        protected_at=None,
        told=("the operator",),
        tells=("the operator",),
        steps=(
            *DONE[:2],
            StepLine(
                name="mint",
                outcome=Outcome.RETRYING,
                detail="Stockholm does not answer.",
                attempt=19,
                next_in_s=0,
            ),
            *waiting("activate", "grant", "publish", "announce", "notify"),
        ),
    ),
    "setup-ready": setup(
        state=SetupState.READY,
        elapsed_s=1.24,
        steps=(
            *ALL_DONE,
            StepLine(name="notify", outcome=Outcome.DONE, took_s=0.1),
        ),
    ),
    "setup-ready-mail-waits": setup(
        state=SetupState.READY,
        elapsed_s=1.24,
        steps=(*ALL_DONE, StepLine(name="notify", outcome=Outcome.RETRYING, attempt=2, next_in_s=4)),
    ),
    "setup-ready-nobody": setup(
        state=SetupState.READY,
        elapsed_s=1.24,
        owner="mara",
        steps=(
            *ALL_DONE,
            StepLine(
                name="notify",
                outcome=Outcome.SKIPPED,
                detail="There was no address to write to.",
                took_s=0.1,
            ),
        ),
    ),
    "setup-failed": setup(
        state=SetupState.FAILED,
        why="The source names a region that this installation does not have: oslo.",
        remedy=Remedy("Add the region, or name another in the source's settings.", "The operator"),
        protected_at=None,
        steps=(
            DONE[0],
            StepLine(name="assign", outcome=Outcome.FAILED, detail="No region oslo.", remedy=PERMISSION),
            *waiting("mint", "activate", "grant", "publish", "announce", "notify"),
        ),
    ),
    "setup-undoing": setup(
        state=SetupState.UNDOING,
        why="Setting up was cancelled by the operator.",
        elapsed_s=72,
        protected_at=None,
        steps=(
            DONE[0],
            StepLine(name="assign", outcome=Outcome.TAKING_BACK, back=True),
            StepLine(name="mint", outcome=Outcome.UNDONE),
            *not_begun("activate", "grant", "publish", "announce", "notify"),
        ),
    ),
    "setup-undoing-waits": setup(
        state=SetupState.UNDOING,
        why="Setting up was cancelled by the operator.",
        protected_at=None,
        steps=(
            *DONE[:2],
            StepLine(
                name="mint",
                outcome=Outcome.RETRYING,
                back=True,
                detail="The region Stockholm does not answer.",
                attempt=2,
                next_in_s=4,
            ),
            *not_begun("activate", "grant", "publish", "announce", "notify"),
        ),
    ),
    "setup-uninstalled": setup(present=False),
    "setup-undone": setup(
        state=SetupState.UNDONE,
        why="The operator cancelled the set-up at 14:03:40.",
        remedy=Remedy(
            "Ask for it to be started again: openkcm tenants retry 2k7f9q1xw4m8zt3c", "The operator"
        ),
        protected_at=None,
        steps=(
            *(StepLine(name=step.name, outcome=Outcome.UNDONE) for step in DONE),
            *not_begun("grant", "publish", "announce", "notify"),
        ),
    ),
    "setup-undo-failed": setup(
        state=SetupState.UNDO_FAILED,
        why="The region Dublin refuses to let go of what was made.",
        remedy=Remedy("Look at the log of region Dublin.", "The operator"),
        protected_at=None,
        steps=(
            *DONE[:2],
            StepLine(name="mint", outcome=Outcome.FAILED, back=True, detail="Dublin refuses.", attempt=1),
            StepLine(name="activate", outcome=Outcome.UNDONE),
            *not_begun("grant", "publish", "announce", "notify"),
        ),
    ),
    "setup-hostile": setup(
        account=HOSTILE, owner="<b>x@example.org</b>", why="<i>", found_in="<u>", found_at_path="<a>"
    ),
}
