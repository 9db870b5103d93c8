"""The `vpo` command: a thin face over the packages. Nothing imports it."""
