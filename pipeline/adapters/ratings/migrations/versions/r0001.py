"""All tables. A later revision changes tables in place; this one stays as the first database was."""

from alembic import op

from pipeline.adapters.ratings.tables import metadata

revision, down_revision = "0001", None


def upgrade() -> None:
    metadata.create_all(op.get_bind())


def downgrade() -> None:
    metadata.drop_all(op.get_bind())
