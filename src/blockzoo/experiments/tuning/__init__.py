"""The tuned track: a search per block without the test images, then fresh seeds."""
