"""The catalog: an index of bags and journal, for questions about many episodes. It can always be made anew from them."""
