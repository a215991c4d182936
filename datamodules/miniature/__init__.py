"""A small data set drawn by code: icons of fifteen contents in twenty styles."""
