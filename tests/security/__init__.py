"""What somebody who means harm, or a broken program, may try at the door."""
