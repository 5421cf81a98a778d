"""What is said of items, in a database: SQLite in the workspace, or PostgreSQL by one URL."""

from pipeline.adapters.ratings.opening import open_ratings
from pipeline.adapters.ratings.ratings import Ratings

__all__ = ["Ratings", "open_ratings"]
