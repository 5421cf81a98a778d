"""The tables. What was said is only ever added to; what counts now is kept beside it, in the same transaction."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    and_,
    literal_column,
    not_,
    true,
)

metadata = MetaData()

# One row: which database it is, and how much has been said in it.
identity = Table(
    "identity",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("position", BigInteger, nullable=False),
)

reviewers = Table(
    "reviewers",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("token_hash", String(64), unique=True),  # none: may no more come in
    Column("since", DateTime(timezone=True), nullable=False),
)

# Those that are in review, numbered as they came.
batches = Table(
    "batches",
    metadata,
    Column("batch", String(16), primary_key=True),
    Column("number", Integer, unique=True, nullable=False),
)

# How many items each has of each kind, so that nobody has to count them.
sizes = Table(
    "sizes",
    metadata,
    Column("batch", String(16), ForeignKey("batches.batch"), primary_key=True),
    Column("order", String(64), primary_key=True),
    Column("model", String(128), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("segment", String(64), primary_key=True),
    Column("items", BigInteger, nullable=False),
)

items = Table(
    "items",
    metadata,
    Column("item", String(240), primary_key=True),
    Column("batch", String(16), nullable=False),
    Column("order", String(64), nullable=False),
    Column("place", BigInteger, nullable=False),
    Column("label", Text),
    Column("segment", String(64), nullable=False),
    Column("model", String(128), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("preference", String(64), nullable=False),
    Column("arm", String(16), nullable=False),
    Column("chance", Float),
    Column("doubt", Float),
    Column("odds", Float),
    Column("sampled", Boolean, nullable=False),  # of the share that is drawn at random, for honest estimates
    Column("rank", Float, nullable=False),  # in the queue, from 0 to 1
    Column("said", Integer, nullable=False),  # verdicts
    Column("likes", Integer, nullable=False),  # verdicts for, and against
    Column("dislikes", Integer, nullable=False),
    Column("withdrawn", Boolean, nullable=False),
)


def _index(name: str, *columns: str, where: ColumnElement[bool]) -> None:
    Index(name, *(items.c[column] for column in columns), sqlite_where=where, postgresql_where=where)


# The queue goes by how often an item was judged, so that it never passes what was judged often enough.
NONE: ColumnElement[int] = literal_column(
    "0"
)  # a parameter in its place would hide the index of those below from a planner
STANDS, GONE, SAID = not_(items.c.withdrawn), items.c.withdrawn == true(), items.c.said > NONE
QUARREL = and_(items.c.likes > NONE, items.c.likes == items.c.dislikes)
_index("items_in_queue", "batch", "said", "rank", where=STANDS)
_index("items_in_queue_of_label", "batch", "label", "said", "rank", where=STANDS)
_index("items_in_quarrel", "batch", "rank", where=and_(STANDS, QUARREL))
_index("items_said", "batch", where=SAID)
_index("items_withdrawn", "batch", where=GONE)
Index("items_of_batch", items.c.batch, items.c.label)

# Append-only: verdicts, undone ones, choices and outcomes, as they came.
said = Table(
    "said",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
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
    Column("position", BigInteger, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("liking", Float),
    Column("body", Text, nullable=False),
    Index("verdicts_by_position", "position"),
)

choices = Table(
    "choices",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
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
    Column("position", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("outcomes_of_item", "item"),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("file", String(255), primary_key=True),
    Column("place", BigInteger, primary_key=True),
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
