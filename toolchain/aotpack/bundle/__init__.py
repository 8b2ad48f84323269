"""What a bundle is: its entries, where they lie, how they are written and described."""
