"""What of kcp's objects this plugin reads: everything else in them is passed over without being built in memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Generic, TypeVar

import msgspec

from openkcm.sdk.plain_text import MAX_DISPLAY_CHARACTERS

FINALIZER = "operations.openkcm.io/tenant-cleanup"
GROUP = "operations.openkcm.io"
TENANT_NAME = "tenant"
#: In each workspace there is one LogicalCluster and one AccountInfo that count, and these are their names.
CLUSTER_NAME, INFO_NAME = "cluster", "account"
#: What the binding that a workspace type makes by default is named after, and what every object's tenant is told by.
CLUSTER, PATH = "kcp.io/cluster", "kcp.io/path"

#: As much of a name as ``display_text`` looks at: what is shown is the same as if all of it were there.
_NAME_CHARACTERS = 2 * MAX_DISPLAY_CHARACTERS


class Annotations(msgspec.Struct, frozen=True):
    """The two annotations that kcp itself sets; a client cannot forge them."""

    cluster: str = msgspec.field(default="", name=CLUSTER)
    path: str = msgspec.field(default="", name=PATH)


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    annotations: Annotations = Annotations()
    finalizers: tuple[str, ...] = ()
    deletion_timestamp: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class Condition(msgspec.Struct, frozen=True, rename="camel"):
    type: str = ""
    status: str = ""
    last_transition_time: str = ""


class _Bound(msgspec.Struct, frozen=True, rename="camel"):
    phase: str = ""
    conditions: tuple[Condition, ...] = ()


class Binding(msgspec.Struct, frozen=True):
    """An APIBinding of our export: this workspace has enabled us."""

    metadata: Metadata = Metadata()
    status: _Bound = _Bound()

    @property
    def ready(self) -> bool:
        """Bound and Ready, and not on its way out."""
        return (
            self.metadata.deletion_timestamp is None
            and self.status.phase == "Bound"
            and any(each.type == "Ready" and each.status == "True" for each in self.status.conditions)
        )


class _Owner(msgspec.Struct, frozen=True):
    cluster: str = ""
    name: str = ""
    resource: str = ""


class _ClusterSpec(msgspec.Struct, frozen=True):
    owner: _Owner = _Owner()


class LogicalCluster(msgspec.Struct, frozen=True):
    """The workspace from inside. ``spec.owner`` names the workspace that it is in the parent; an admin within may
    change it, so it is a hint like ``AccountInfo``.
    """

    metadata: Metadata = Metadata()
    spec: _ClusterSpec = _ClusterSpec()


class TenantStatusRead(msgspec.Struct, frozen=True, rename="camel"):
    conditions: tuple[Condition, ...] = ()


class TenantResource(msgspec.Struct, frozen=True):
    """Our own resource in the tenant's workspace: it carries the status, and holds its deletion until we know."""

    metadata: Metadata = Metadata()
    status: TenantStatusRead = TenantStatusRead()

    @property
    def held(self) -> bool:
        """Whether its deletion waits for us."""
        return FINALIZER in self.metadata.finalizers


class _InfoAccount(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    origin_cluster_id: str = ""


class _InfoOidc(msgspec.Struct, frozen=True, rename="camel"):
    issuer_url: str = ""


class _InfoSpec(msgspec.Struct, frozen=True):
    account: _InfoAccount = _InfoAccount()
    oidc: _InfoOidc = _InfoOidc()


class AccountInfo(msgspec.Struct, frozen=True):
    """What Platform Mesh leaves in an account's workspace. Its members may write it: it is a hint, never a proof."""

    metadata: Metadata = Metadata()
    spec: _InfoSpec = _InfoSpec()


class _AccountSpec(msgspec.Struct, frozen=True, rename="camel"):
    creator: str = ""
    display_name: str = ""

    def __post_init__(self) -> None:
        # Every account's is kept in memory, and whoever may write it may write a megabyte.
        if len(self.display_name) > _NAME_CHARACTERS:
            msgspec.structs.force_setattr(self, "display_name", self.display_name[:_NAME_CHARACTERS])


class Account(msgspec.Struct, frozen=True):
    metadata: Metadata = Metadata()
    spec: _AccountSpec = _AccountSpec()


class _Mount(msgspec.Struct, frozen=True):
    pass


class _WorkspaceSpec(msgspec.Struct, frozen=True):
    cluster: str = ""
    mount: _Mount | None = None


class Workspace(msgspec.Struct, frozen=True):
    metadata: Metadata = Metadata()
    spec: _WorkspaceSpec = _WorkspaceSpec()

    @property
    def cluster(self) -> str:
        """Its logical cluster; of one that is mounted none: there kcp lets its owner write whichever they like."""
        return self.spec.cluster if self.spec.mount is None else ""


class _Endpoint(msgspec.Struct, frozen=True):
    url: str = ""


class _SliceStatus(msgspec.Struct, frozen=True, rename="camel"):
    endpoints: tuple[_Endpoint, ...] = msgspec.field(default=(), name="endpoints")


class EndpointSlice(msgspec.Struct, frozen=True):
    metadata: Metadata = Metadata()
    status: _SliceStatus = _SliceStatus()


Read = TypeVar(
    "Read", Binding, LogicalCluster, TenantResource, AccountInfo, Account, Workspace, EndpointSlice
)


@dataclass(frozen=True, slots=True)
class Resource(Generic[Read]):
    """One kind of object: where it is asked for, and as what it is read."""

    path: str
    type: type[Read]
    #: Where there is one of it in a cluster: its name. Any other is a member's own, and nothing of ours.
    only: str = ""

    @property
    def plural(self) -> str:
        return self.path.rpartition("/")[2]


BINDINGS = Resource("/apis/apis.kcp.io/v1alpha2/apibindings", Binding)
CLUSTERS = Resource("/apis/core.kcp.io/v1alpha1/logicalclusters", LogicalCluster, "cluster")
TENANTS = Resource(f"/apis/{GROUP}/v1alpha1/tenants", TenantResource, TENANT_NAME)
INFOS = Resource("/apis/core.platform-mesh.io/v1alpha1/accountinfos", AccountInfo, "account")
ACCOUNTS = Resource("/apis/core.platform-mesh.io/v1alpha1/accounts", Account)
WORKSPACES = Resource("/apis/tenancy.kcp.io/v1alpha1/workspaces", Workspace)
SLICES = Resource("/apis/apis.kcp.io/v1alpha1/apiexportendpointslices", EndpointSlice)


class ListMetadata(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    cont: str = msgspec.field(default="", name="continue")


class ObjectList(msgspec.Struct, frozen=True):
    """One page. Items stay raw, so that one that cannot be read costs no other."""

    metadata: ListMetadata = ListMetadata()
    items: tuple[msgspec.Raw, ...] | None = None


class _Named(msgspec.Struct, frozen=True):
    name: str = ""
    annotations: Annotations = Annotations()


class Named(msgspec.Struct, frozen=True):
    """What is left of an object that cannot be read: whose it is, and its name."""

    metadata: _Named = _Named()

    @property
    def key(self) -> tuple[str, str]:
        return self.metadata.annotations.cluster, self.metadata.name[:253]


class Event(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw = msgspec.Raw(b"{}")


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """The answer of a refusal. Its message is the other system's own and goes nowhere."""

    code: int = 0
    reason: str = ""
