"""The page on which people look at items and judge them."""
