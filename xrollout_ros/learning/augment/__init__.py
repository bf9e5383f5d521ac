"""How training data are varied, so that a policy meets more than was shown."""
