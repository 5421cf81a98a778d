"""Object stores: S3, and a folder in the same shape."""

from pipeline.adapters.store.folder import FolderStore
from pipeline.adapters.store.interface import Head, Listed, Store
from pipeline.adapters.store.s3 import S3Store
from pipeline.adapters.store.settings import ObjectSettings

__all__ = ["FolderStore", "Head", "Listed", "ObjectSettings", "S3Store", "Store"]
