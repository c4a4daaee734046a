"""Training: recipes and `fit`. Import `training.recipe` or `training.fit`; Lightning is slow."""
