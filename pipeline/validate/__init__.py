"""Tell accepted items from rejected ones, keep both, and judge the dataset as a whole."""
