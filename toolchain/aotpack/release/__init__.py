"""From a bundle to what travels: archives, an image, a wheel, one file; and what a security team reads.

Nothing here is imported before a command asks for it. A build that has nothing to do imports none of it.
"""
