"""A policy's alarm: scores of its own attempts, a threshold from its successes, and the audit of what it promised."""
