"""Records, the store that keeps them, and the files made from it."""
