"""The ways out: one file for each provider, all of them behind the protocol in `fhirmsg.ports`."""
