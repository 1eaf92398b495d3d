"""Runs of statements, composed: pre-flight, leaders, processes, documents."""
