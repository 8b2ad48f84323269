"""What a finding is, the checks that make them, and what they are explained by."""
