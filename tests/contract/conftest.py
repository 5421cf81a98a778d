"""Databases that the tests of this folder share: one PostgreSQL server for all."""

from tests.contract.databases import postgres, url

__all__ = ["postgres", "url"]
