"""FHIR R4 in and out: the only place that knows resources, codes and servers."""
