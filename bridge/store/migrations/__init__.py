"""Alembic's migrations. `versions/` holds them in order; `env.py` runs them on a connection it is given."""
