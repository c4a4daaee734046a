"""What others hand in: whole stores in one file, which nothing is trusted of."""
