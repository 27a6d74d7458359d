"""Writes the revisions as one SQL script, which ``openkcm.kernel.migrate`` runs; there is no other way in."""

from alembic import context

context.configure(
    dialect_name="postgresql",
    dialect_opts={"paramstyle": "named"},
    literal_binds=True,
    transactional_ddl=False,
)
context.run_migrations()
