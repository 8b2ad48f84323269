"""Which torch a virtual environment holds, told from files alone; making an environment."""
