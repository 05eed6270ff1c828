"""SQLite databases, and room for them on a full disk."""
