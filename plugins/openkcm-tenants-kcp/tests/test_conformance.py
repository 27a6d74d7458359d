from openkcm.sdk.conformance.tenant_source import TenantSourceContract


class TestKcp(TenantSourceContract):
    pass
