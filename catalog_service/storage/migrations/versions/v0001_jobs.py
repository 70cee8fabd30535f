"""Jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table of jobs."""
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.String(32), primary_key=True),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("owner_groups", sa.Text, nullable=False),
        sa.Column("owner_is_admin", sa.Boolean, nullable=False),
        sa.Column("phase", sa.String(10), nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("queued", sa.BigInteger),
        sa.Column("started", sa.BigInteger),
        sa.Column("ended", sa.BigInteger),
        sa.Column("destruction", sa.BigInteger, nullable=False),
        sa.Column("execution_s", sa.Float, nullable=False),
        sa.Column("runid", sa.String(64)),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("uploads", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("results", sa.Text, nullable=False),
        sa.Column("result_bytes", sa.BigInteger, nullable=False),
        sa.Column("overflow", sa.Boolean, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("error_status", sa.Integer, nullable=False),
    )
    op.create_index("jobs_by_owner", "jobs", ["owner", "created"])
    op.create_index("jobs_by_phase", "jobs", ["phase", "queued"])
    op.create_index("jobs_by_destruction", "jobs", ["destruction"])


def downgrade() -> None:
    """Drop the table of jobs."""
    op.drop_table("jobs")
