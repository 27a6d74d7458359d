"""The platform's admin over HTTP, as the kubeconfig says who that is: makes, reads, changes and deletes objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from openkcm_tenants_kcp.api import MERGE_PATCH, Answered, Api, Failed
from openkcm_tenants_kcp.kubeconfig import Kubeconfig, read_kubeconfig
from tests.kcp.conformance.waiting import until

Json = dict[str, Any]
JSON_PATCH: Final = "application/json-patch+json"
API: Final = {
    "APIBinding": "apis.kcp.io/v1alpha2",
    "APIExport": "apis.kcp.io/v1alpha2",
    "APIExportEndpointSlice": "apis.kcp.io/v1alpha1",
    "Account": "core.platform-mesh.io/v1alpha1",
    "LogicalCluster": "core.kcp.io/v1alpha1",
    "Secret": "v1",
    "Shard": "core.kcp.io/v1alpha1",
    "Tenant": "operations.openkcm.io/v1alpha1",
    "Workspace": "tenancy.kcp.io/v1alpha1",
    "WorkspaceType": "tenancy.kcp.io/v1alpha1",
}
#: kcp needs a moment for what was just made: workspaces, types and rights on another shard.
_MOMENT_S: Final = 30.0


def place(where: str, kind: str, name: str = "", *, version: str = "", namespace: str = "") -> str:
    """An address below ``where``, which is the address of one workspace, or of all (``…/clusters/*``)."""
    version = version or API[kind]
    root = f"{where}/apis/{version}" if "/" in version else f"{where}/api/{version}"
    collection = f"namespaces/{namespace}/{kind.lower()}s" if namespace else f"{kind.lower()}s"
    return f"{root}/{collection}/{name}".rstrip("/")


class Admin:
    """Workspaces are named by path or ID, as the front proxy takes both."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self.given: Kubeconfig = read_kubeconfig(kubeconfig)
        self.base = self.given.server.partition("/clusters/")[0]
        self.api = Api(self.given, answer_s=30.0)

    async def reopen(self) -> None:
        """The kubeconfig is read again: a kcp that was started again may have given its admin another token."""
        await self.api.aclose()
        self.given = read_kubeconfig(self._kubeconfig)
        self.api = Api(self.given, answer_s=30.0)

    def at(self, workspace: str) -> str:
        return f"{self.base}/clusters/{workspace}"

    async def create(self, workspace: str, body: Json) -> Json:
        """The object as it was stored; what is not yet there to make it in is waited for."""
        kind, metadata = body["kind"], body["metadata"]
        url = place(
            self.at(workspace),
            kind,
            version=body["apiVersion"],
            namespace=metadata.get("namespace", ""),
        )
        again = False

        async def made() -> Json | None:
            nonlocal again
            try:
                return await self._sent("POST", url, body)
            except Answered as refused:
                if again and refused.status == 409:  # the first answer was lost on its way
                    return await self._read(f"{url}/{metadata['name']}")
                if refused.status in (400, 413, 422):
                    raise AssertionError(f"{kind} {metadata['name']} in {workspace}: {refused}") from refused
                raise
            finally:
                again = True

        return await until(f"{kind} {metadata['name']} is made in {workspace}", made, within_s=_MOMENT_S)

    async def get(self, workspace: str, kind: str, name: str, *, namespace: str = "") -> Json | None:
        """None where there is no such object, or no such workspace any more."""
        try:
            return await self._read(place(self.at(workspace), kind, name, namespace=namespace))
        except Answered as refused:
            if refused.status in (403, 404):
                return None
            raise

    async def every(self, workspace: str, kind: str) -> list[Json]:
        found = await self._read(place(self.at(workspace), kind))
        return list(found.get("items") or ())

    async def change(
        self, workspace: str, kind: str, name: str, change: object, *, how: str = MERGE_PATCH
    ) -> Json:
        return await self._sent("PATCH", place(self.at(workspace), kind, name), change, how=how)

    async def delete(self, workspace: str, kind: str, name: str) -> None:
        """It is on its way out, or was not there."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions"}
        try:
            await self._sent("DELETE", place(self.at(workspace), kind, name), options)
        except Answered as refused:
            if refused.status not in (403, 404):
                raise

    async def _read(self, url: str) -> Json:
        try:
            return decoded(await self.api.get(url))
        except Failed as failed:
            failed.add_note(f"at GET {url}")
            raise

    async def _sent(self, method: str, url: str, body: object, *, how: str = "application/json") -> Json:
        try:
            return decoded(await self.api.send(method, url, body, content_type=how))
        except Failed as failed:
            failed.add_note(f"at {method} {url}")
            raise


def decoded(body: bytes) -> Json:
    found: Json = msgspec.json.decode(body)
    return found
