"""The composition root: turns Config into live objects, and chooses each class."""
