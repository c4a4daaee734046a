"""The main job: what is missing, run in order, every outcome recorded."""
