"""What a set of libraries needs, by recipe and by what they name."""
