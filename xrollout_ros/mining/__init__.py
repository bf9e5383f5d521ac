"""What episodes mean: why attempts failed, and how sure a success rate is."""
