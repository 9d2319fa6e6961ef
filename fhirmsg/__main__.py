"""`python -m fhirmsg` is `fhirmsg`."""

from fhirmsg.cli import main

if __name__ == "__main__":
    main(prog_name="fhirmsg")
