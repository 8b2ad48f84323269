"""The build machine's side of the doctor, and its HTML page."""
