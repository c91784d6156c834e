"""`mesh clock`: submits each day once it has begun in Japan, so that what is due on it takes effect."""
