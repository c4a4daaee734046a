"""One file a step, named after the layout that it leads to."""
