"""What is fed to the models: file names, data sets, batches."""
