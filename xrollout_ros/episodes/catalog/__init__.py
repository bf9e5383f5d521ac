"""The catalog: an index of bags and journal, for questions about many episodes; it can always be made anew."""
