"""Is never loaded to its end."""

while True:
    pass
