from openkcm.sdk.conformance.tenant_source import TenantSourceContract


class TestDirectory(TenantSourceContract):
    pass
