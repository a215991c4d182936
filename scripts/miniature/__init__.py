"""The scripts that train and measure the shipped miniature, one command per stage."""
