"""Sphinx configuration; `sphinx-build -W docs docs/_build` must pass."""

import pydantic.main

project = "BlockZoo"
author = "The BlockZoo authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "BlockZoo"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_show_copyright = False
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "model_config"}
# With each parameter that a docstring describes, and not a second time in the signature.
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
strip_signature_backslash = True  # else `as_` loses its last character
napoleon_use_ivar = True
# Names between single backticks are links where there is such an object, and code elsewhere.
default_role = "py:obj"

# Autodoc adds the annotations of pydantic's own source, in which there are names that pydantic has
# for type checkers alone. Without these names the types of no field of a record are found.
_OF_TYPE_CHECKERS = (
    *("ComputedFieldInfo", "FieldInfo", "ModelPrivateAttr", "PydanticExtraInfo", "Signature"),
    *("CoreSchema", "SchemaSerializer", "SchemaValidator"),
)
for _name in _OF_TYPE_CHECKERS:
    vars(pydantic.main).setdefault(_name, object)
