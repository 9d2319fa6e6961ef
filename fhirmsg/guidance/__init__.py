"""The guidance as rules: facts in, one decision out.

Standard library only. Nothing here reads a clock, a network, a FHIR resource or a setting, so
that an information-governance officer can read `rules/` beside the page and trust what it says.
"""
