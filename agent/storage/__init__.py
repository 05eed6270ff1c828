"""SQLite databases, and disk space reserved for them."""
