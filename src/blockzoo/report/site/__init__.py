"""The board: pages made of a store by one command, which need no server to be read."""
