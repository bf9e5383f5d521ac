"""The vocabulary that every other folder speaks; it imports nobody."""
