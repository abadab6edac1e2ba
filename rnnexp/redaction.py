"""Takes passwords out of what is stored or shown."""

import re
from urllib.parse import unquote, urlsplit

from rnnexp.checks import UserError

#: Passwords in a URI: before the host, or among what follows a question mark.
#: Hydra writes a backslash before some signs.
IN_NETLOC = re.compile(r"(\\?://)[^/\s?#]*@")
IN_QUERY = re.compile(r"([?&][a-z_-]*(?:user|password|passwd|pwd|token|secret)=)[^&\s'\"]*", re.IGNORECASE)


def redact(uri: str) -> str:
    """A URI without the password that it may hold."""
    return IN_QUERY.sub(r"\1***", IN_NETLOC.sub(r"\1***@", uri))


def redact_text(text: str, uri: str = "") -> str:
    """A message that can be stored: without the passwords of any URI in it, and of `uri` wherever that stands."""
    try:
        password = urlsplit(uri).password or ""
    except ValueError:
        password = ""
    text = redact(text).encode("utf-8", "backslashreplace").decode()  # half a character can't be stored
    for secret in {password, unquote(password)}:
        # A password of a letter or two would be found everywhere.
        if len(secret) > 2:
            text = text.replace(secret, "***")
    return text


def redact_setting(text: str) -> str:
    """``key=value`` without the password that a URI may hold."""
    key, equals, value = text.partition("=")
    return f"{key}{equals}{redact(value)}" if "://" in value else text


def describe_error(error: BaseException) -> str:
    """An error in words, without a password."""
    return redact_text(str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
