"""How progress reaches whoever waits: a reporter that all work talks to, and its ways to show it."""
