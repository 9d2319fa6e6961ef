"""`fhirmsg doctor`: what will not work, why, and what to do; nothing is ever sent."""
