"""Texts of known formats in an invented vocabulary: what format discovery is measured on."""
