"""What happens to a message after it is handed over, and while the FHIR server is away."""
