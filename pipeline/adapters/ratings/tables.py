"""The tables. What was said is only ever added to; what counts now is kept beside it, in the same transaction."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

# One row: which database it is, and how much has been said in it.
identity = Table(
    "identity",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("position", Integer, nullable=False),
)

reviewers = Table(
    "reviewers",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("token_hash", String(64), unique=True),  # none: may no more come in
    Column("since", DateTime(timezone=True), nullable=False),
)

items = Table(
    "items",
    metadata,
    Column("item", String(240), primary_key=True),
    Column("batch", String(16), nullable=False),
    Column("order", String(64), nullable=False),
    Column("place", Integer, nullable=False),
    Column("label", Text),
    Column("segment", String(64), nullable=False),
    Column("model", String(128), nullable=False),
    Column("version", Integer, nullable=False),
    Column("preference", String(64), nullable=False),
    Column("arm", String(16), nullable=False),
    Column("chance", Float),
    Column("doubt", Float),
    Column("odds", Float),
    Column("sampled", Boolean, nullable=False),  # of the share that is drawn at random, for honest estimates
    Column("rank", Float, nullable=False),  # in the queue, from 0
    Column("said", Integer, nullable=False),  # verdicts
    Column("likes", Integer, nullable=False),  # verdicts for, and against
    Column("dislikes", Integer, nullable=False),
    Column("withdrawn", Boolean, nullable=False),
    Index("items_in_queue", "batch", "rank"),
)

# Append-only: verdicts, undone ones, choices and outcomes, as they came.
said = Table(
    "said",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("key", String(80), unique=True, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("item", String(240), nullable=False),
    Column("by", String(64), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("body", Text, nullable=False),
    Index("said_of_item", "item", "by"),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("item", String(240), ForeignKey("items.item"), primary_key=True),
    Column("reviewer", String(64), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("liking", Float),
    Column("body", Text, nullable=False),
    Index("verdicts_by_position", "position"),
)

choices = Table(
    "choices",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("better", String(240), ForeignKey("items.item"), nullable=False),
    Column("worse", String(240), ForeignKey("items.item"), nullable=False),
    Column("reviewer", String(64), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("item", String(240), primary_key=True),
    Column("at", DateTime(timezone=True), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Index("outcomes_of_item", "item"),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("file", String(255), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("row", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

# Experts' verdicts for which an item is to be withdrawn.
concerns = Table(
    "concerns",
    metadata,
    Column("item", String(240), primary_key=True),
    Column("reviewer", String(64), nullable=False),
    Column("concern", String(16), nullable=False),
    Column("note", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("done", Boolean, nullable=False),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("inputs", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("outcome", Text),
)
