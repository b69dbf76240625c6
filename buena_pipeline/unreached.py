"""Why nobody answered, in words: from an error of the network to what its reader can do about it. Pure."""

from __future__ import annotations

import socket
import ssl


def why(error: BaseException) -> str:
    """What an error of the network means.

    Args:
        error: what was raised; the errors it was made of are looked at, too. Its text is not used, which may
            hold the address of a proxy with its password.

    Example:
        >>> why(ConnectionRefusedError(111, "Connection refused"))
        'the connection is refused, as where no server runs'
    """
    link: BaseException | None = error
    while link is not None:
        match link:
            case socket.gaierror() | UnicodeError():
                return "the name of the host is not known"
            case ssl.SSLCertVerificationError():
                return "its certificate is not trusted here"
            case ssl.SSLError():
                return "it does not speak https as this machine does; a server without it has http://"
            case ConnectionRefusedError():
                return "the connection is refused, as where no server runs"
            case TimeoutError():
                return "no answer came in time"
        link = link.__cause__ or link.__context__
    return type(error).__name__
