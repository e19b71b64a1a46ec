"""Backups of the stack: the database, the store's objects, the queue and the accounts."""
