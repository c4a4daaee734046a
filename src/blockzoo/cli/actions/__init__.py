"""What the commands do: options to objects, one call of a verb, and what it returns shown."""
