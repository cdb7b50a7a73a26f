"""What must not be written down: passwords, tokens and keys, recognised by their names."""

import re
from typing import Any

from jsonargparse import Namespace

SECRET = re.compile(r"(?i)(passw(or)?d|passphrase|secret|credentials?|authorization|(api|access|private)_?key|token)$")
# A language model's own tokens are text, not keys.
HARMLESS = re.compile(r"(?i)(^|[._-])(pad|bos|eos|sep|cls|unk|mask|start|end|stop)[_-]?token$")
LOGIN = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")
HIDDEN = "***"


def is_secret(name: str) -> bool:
    return bool(SECRET.search(name)) and not HARMLESS.search(name)


def without_secrets(settings: Any) -> Any:
    """The same settings without those whose names say that they are secret, and without passwords in addresses.

    A run that is repeated from what was kept has to be given them again.
    """
    if isinstance(settings, Namespace):
        return Namespace(**without_secrets(vars(settings)))
    if isinstance(settings, dict):
        return {
            name: without_secrets(value)
            for name, value in settings.items()
            if not (is_secret(str(name)) and isinstance(value, str))
        }
    if isinstance(settings, list | tuple):
        return [without_secrets(value) for value in settings]
    return LOGIN.sub(rf"\1{HIDDEN}@", settings) if isinstance(settings, str) else settings


def masked(args: list[str]) -> list[str]:
    """The arguments of a command line, with those that hold a secret hidden."""
    hidden = []
    for before, arg in zip(["", *args], args, strict=False):
        flag, equals, _ = arg.partition("=")
        if before.startswith("--") and is_secret(before):
            arg = HIDDEN
        elif equals and is_secret(flag):
            arg = f"{flag}={HIDDEN}"
        elif "{" in arg and any(map(is_secret, re.findall(r"[\w-]+", arg))):  # --data '{"api_token": ...}'
            arg = HIDDEN
        hidden.append(LOGIN.sub(rf"\1{HIDDEN}@", arg))
    return hidden
