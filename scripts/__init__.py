"""The command line and the one-off tools: the place where data, models and callbacks meet."""
