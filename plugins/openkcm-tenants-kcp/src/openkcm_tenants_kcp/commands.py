"""``openkcm kcp``: what the platform's operator needs to offer OpenKCM in kcp."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

import click

from openkcm_tenants_kcp.manifests import Part, Place, text
from openkcm_tenants_kcp.settings import DEFAULT_EXPORT

_PATH: Final = re.compile(r"[a-z0-9][a-z0-9-]*(:[a-z0-9][a-z0-9-]*)*")


@click.group("kcp")
def command() -> None:
    """Offer OpenKCM to the accounts of a kcp or Platform Mesh."""


@command.command("manifests")
@click.option(
    "--path", required=True, help="Path of the provider's workspace, such as root:providers:openkcm."
)
@click.option("--url", required=True, help="Address of OpenKCM's pages, as people reach it.")
@click.option("--export", default=DEFAULT_EXPORT, show_default=True, help="Name of the APIExport.")
@click.option(
    "--mesh-hash",
    default="",
    help="Identity hash of the APIExport core.platform-mesh.io; without it owners stay unknown.",
)
@click.option(
    "--tenancy-hash", default="", help="Identity hash of the APIExport tenancy.kcp.io, for the same purpose."
)
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice([each.value for each in Part]),
    help="Print this part alone; may be given again. Without it: export, rbac and mesh.",
)
def manifests(
    path: str, url: str, export: str, mesh_hash: str, tenancy_hash: str, parts: tuple[str, ...]
) -> None:
    """Print what to apply in kcp, as YAML.

    An identity hash is printed by: kubectl get apiexport NAME -o jsonpath='{.status.identityHash}'
    """
    if bool(mesh_hash) != bool(tenancy_hash):
        raise click.UsageError(
            "Give --mesh-hash and --tenancy-hash, or neither: only both together prove an owner."
        )
    if not _PATH.fullmatch(path):
        raise click.UsageError("--path is names with colons between them, such as root:providers:openkcm.")
    address = urlsplit(url)
    if address.scheme not in ("https", "http") or not address.hostname or any(each.isspace() for each in url):
        raise click.UsageError("--url is the address of a page, such as https://kcm.example.")
    place = Place(export=export, path=path, url=url, mesh_hash=mesh_hash, tenancy_hash=tenancy_hash)
    wanted = [Part(each) for each in parts] or [Part.EXPORT, Part.RBAC, Part.MESH]
    click.echo(text(place, wanted), nl=False)
