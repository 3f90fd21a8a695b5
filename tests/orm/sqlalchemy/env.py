from alembic import context

import models

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=models.Base.metadata, compare_server_default=True)
with context.begin_transaction():
    context.run_migrations()
