"""What a bundle is made of: whose each file is and under which terms, as a bill of materials; and how it was made."""
