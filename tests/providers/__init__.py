"""Tests of the ways out, against a real mail server, real files and real processes."""
