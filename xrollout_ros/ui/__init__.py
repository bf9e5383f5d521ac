"""What a person sees: the `xrollout` command, the terminal view, the report."""
