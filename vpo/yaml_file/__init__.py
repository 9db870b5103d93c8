"""YAML files of settings: read with their lines, checked against a JSON schema, and the schema made from the fields.

One schema serves twice: we check a file with it before anything is loaded, and `vpo schema` prints it for editors. It
is made from the dataclasses that take the settings, so it cannot say anything else than they do.

Light: nothing here imports torch.
"""

from __future__ import annotations

from vpo.yaml_file.checking import check, mistakes
from vpo.yaml_file.fields import Schema, schema_of, schema_of_arguments, spelt_out
from vpo.yaml_file.named import beside, inside, ruled
from vpo.yaml_file.reading import YamlFile, read_yaml

__all__ = [
    "Schema",
    "YamlFile",
    "beside",
    "check",
    "inside",
    "mistakes",
    "read_yaml",
    "ruled",
    "schema_of",
    "schema_of_arguments",
    "spelt_out",
]
