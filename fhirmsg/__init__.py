"""fhirmsg: messages to patients, decided by NHS England's guidance and recorded in FHIR R4."""

__version__ = "0.1.0"
