"""Alembic's entry: runs the migrations of `versions/` against the URL that `graphstore.session.migrate` gives."""

from alembic import context

from graphstore.session import open_engine
from graphstore.tables import metadata


def run() -> None:
    """Apply or, for `alembic revision --autogenerate`, compare."""
    url = context.config.get_main_option("sqlalchemy.url")
    if not url:
        raise ValueError("sqlalchemy.url is not set")
    engine = open_engine(url)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
        if engine.dialect.name == "sqlite":
            # The driver begins no transaction by itself: without one, a kill between two tables leaves half a schema.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
    engine.dispose()


run()
