"""The dashboard: web pages on this machine that show a running graph and what came of it."""
