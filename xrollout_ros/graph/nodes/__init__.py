"""One thin file for each node: wiring between topics and the logic below."""
