"""JSON of the API: dates as RFC 3339 has them, and nothing read that no database could keep."""

from typing import Any

import orjson
from flask.json.provider import JSONProvider


class ApiJson(JSONProvider):
    """orjson. What it reads has no lone surrogates (orjson refuses them) and no NUL."""

    def dumps(self, obj: Any, **more: Any) -> str:
        """Text, for templates, too."""
        del more
        # marshmallow tells what is wrong in a list by the number of the element.
        return orjson.dumps(obj, option=orjson.OPT_NON_STR_KEYS).decode()

    def loads(self, s: str | bytes, **more: Any) -> Any:
        """Raises ValueError, which is answered as a request that cannot be read."""
        del more
        text = s.encode() if isinstance(s, str) else s
        if b"\\u0000" in text:
            raise ValueError("it holds the character NUL, which no text has")
        return orjson.loads(text)
