"""Making a bundle: what was asked, what is gathered for it, how it takes the place of the last one."""
