"""The pyramid: recorded episodes in four levels, each a dataset that trains, by rules that say why."""
