"""The web process's application, as tests of its doors have it."""

from tests.app.conftest import app, links, regions, tenants

__all__ = ["app", "links", "regions", "tenants"]
