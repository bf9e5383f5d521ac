"""One module for each subcommand of `xrollout`; each is imported only when it is called."""
