"""Types that many rooms share."""

from typing import Any

Config = dict[str, Any]  # a config as plain dicts, lists, text, numbers and null
