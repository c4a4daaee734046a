"""Records of others checked: what they are of is built here, and some of it is run again."""
