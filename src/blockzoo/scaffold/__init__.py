"""The scaffold: a network of stem, three stages and head, and a block's placement in it."""
