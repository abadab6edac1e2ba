"""Removes passwords from text that is stored or shown."""

import re
from urllib.parse import unquote, urlsplit

from rnnexp.checks import UserError, one_line

#: Before the host of a URI: the password of a database, or a login. Hydra escapes some characters with a backslash.
IN_DATABASE = re.compile(r"((?:postgresql|mysql|mssql)(?:\+\w+)?\\?://[^\s:/@\\]*)\\?:\S*@")
IN_NETLOC = re.compile(r"(?<![\w+.-])((?!(?:postgresql|mysql|mssql)\b)[\w+.-]*\\?://)[^/\s?#]*@")
#: Passwords in the query string.
IN_QUERY = re.compile(r"([?&][a-z_-]*(?:password|passwd|pwd|token|secret)=)[^&\s'\"]*", re.IGNORECASE)


def redact(uri: str) -> str:
    """A URI without its password, if any; the name of a database's user stays, since it may be all that is needed."""
    return IN_QUERY.sub(r"\1***", IN_NETLOC.sub(r"\1***@", IN_DATABASE.sub(r"\1:***@", uri)))


def redact_text(text: str, uri: str = "") -> str:
    """A message that can be stored: without the passwords of URIs in it, or that of `uri` anywhere."""
    try:
        password = urlsplit(uri).password or ""
    except ValueError:
        password = ""
    text = redact(text).encode("utf-8", "backslashreplace").decode()  # lone surrogates can't be stored
    for secret in {password, unquote(password)}:
        # A password of one or two letters would match everywhere.
        if len(secret) > 2:
            text = text.replace(secret, "***")
    return text


def redact_setting(text: str) -> str:
    """``key=value`` without the password of a URI."""
    key, equals, value = text.partition("=")
    return f"{key}{equals}{redact(value)}" if "://" in value else text


def describe_error(error: BaseException) -> str:
    """An error in words, without a password."""
    return redact_text(str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")


def reason_of(error: Exception, uri: str = "") -> str:
    """An error in one short line, without a password."""
    text = error.problem if isinstance(error, UserError) else redact_text(str(error), uri)
    line = one_line((text.splitlines() or [""])[0].strip()) or type(error).__name__
    return line if len(line) <= 300 else f"{line[:297]}..."
