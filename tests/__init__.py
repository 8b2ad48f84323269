"""What proves aotpack: unit tests, integration tests, the model zoo, and what they share."""
