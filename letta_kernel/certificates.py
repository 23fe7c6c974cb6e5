"""Whose certificates are trusted: those the environment names, by any of the variables people know for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

Named = tuple[tuple[str, str], ...]
"""Variables that are set, each with its value."""


def named() -> Named:
    """Return the variables that name certificates to trust; all of them count."""
    values = ((variable, os.environ.get(variable, "").strip()) for variable in VARIABLES)
    return tuple((variable, value) for variable, value in values if value)


def context() -> ssl.SSLContext:
    """Return what to check servers with: the certificates the environment names, else certifi's.

    Raises
    ------
    OSError
        If what a variable names holds no certificates; the text names it.
    """
    import ssl

    if found := named():
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trust(made, found)
        return made
    import certifi

    return ssl.create_default_context(cafile=certifi.where())


def trust(made: ssl.SSLContext, found: Named) -> None:
    """Let *made* trust the certificates in all files and folders of *found* as well.

    Raises
    ------
    OSError
        If one holds none; the text names its variable.
    """
    for variable, value in found:
        if variable == "SSL_CERT_DIR":  # a list; folders that are not there are passed over
            for folder in filter(os.path.isdir, value.split(os.pathsep)):
                made.load_verify_locations(capath=folder)
            continue
        place = os.path.expanduser(value)
        try:
            if os.path.isdir(place):
                made.load_verify_locations(capath=place)
            else:
                made.load_verify_locations(cafile=place)
        except OSError as error:  # also what is no certificate: ssl's errors are of this kind
            reason = error.strerror or error
            raise OSError(
                f"{variable} names {value!r}, which holds no certificates: {reason}"
            ) from None


def advice() -> str:
    """Return what to do about a server whose certificate is not trusted."""
    now = " and ".join(f"{variable} is {value!r}" for variable, value in named())
    return (
        "set SSL_CERT_FILE, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE to a file with the certificate of its "
        f"authority{f' ({now} now)' if now else ''}"
    )
