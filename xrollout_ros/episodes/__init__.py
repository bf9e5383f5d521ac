"""What is kept: the bag writer, the episode reader, the data folder and the tag journal."""
