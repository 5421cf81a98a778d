"""What generated images are made into: design sheets, ads, a catalogue, textures and sprites. Arrays in, values out."""
