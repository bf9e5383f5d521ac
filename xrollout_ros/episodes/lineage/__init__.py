"""What came from what: episodes, policies, datasets and clips, walked both ways."""
