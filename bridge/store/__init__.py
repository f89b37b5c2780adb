"""The database: tables, the engine with its single writer, schema migrations, and encryption of secrets."""
