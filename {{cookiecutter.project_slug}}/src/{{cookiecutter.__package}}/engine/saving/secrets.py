"""What must not be written down: passwords, tokens and keys, recognised by their names."""

import re
from typing import Any

from jsonargparse import Namespace

KINDS_OF_KEYS = "(api|access|private|secret)_?key"
SECRET = re.compile(rf"(?i)(passw(or)?d|passphrase|secret|credentials?|authorization|{KINDS_OF_KEYS}|token)$")
# A language model's own tokens are text, not keys.
HARMLESS = re.compile(r"(?i)(^|[._-])(pad|bos|eos|sep|cls|unk|mask|start|end|stop)[_-]?token$")
# Files that hold little else.
SECRET_FILE = re.compile(
    r"(?i)(\.env(rc|\..*)?|.*\.env|.*\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk|gpg|asc)|id_(rsa|dsa|ecdsa|ed25519).*"
    r"|\.(netrc|npmrc|pypirc|pgpass|htpasswd|git-credentials)|_netrc|.*(secret|credential|passw(or)?d|(api|access|auth)[_-]?(key|token)).*"
    r"\.(ya?ml|json|toml|ini|cfg|conf|txt|env|csv))"
)
SECRET_FOLDERS = {".ssh", ".aws", ".gnupg", ".kube", ".docker"}
# In source code and in configurations: a name, perhaps in quotes, and what it is set to.
ASSIGNMENT = re.compile(r"""([\w.-]+)["']?\s*[:=](?=\s*[^\s=])\s*|(--[\w.-]+)\s+(?=\S)""")
PRIVATE_KEY = re.compile(r"-----(BEGIN|END) [A-Z ]*PRIVATE KEY( BLOCK)?-----")
# What services give out as keys, whatever the name beside it.
KEY = re.compile(r"\b(hf_|gh[pousr]_|github_pat_|glpat-|sk-|xox[abpr]-|AKIA|AIza)[\w-]{12,}")
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


def is_secret_file(name: str) -> bool:
    """Whether a file's path says that it holds passwords or keys, such as `.env` and `id_rsa`."""
    *folders, last = name.split("/")
    return bool(SECRET_FILE.fullmatch(last)) or is_secret(last) or bool(SECRET_FOLDERS & {*folders})


def masked_lines(lines: list[str]) -> list[str]:
    """Lines of text or of a diff, with what is secret by its name, logins and private keys hidden."""
    hidden, is_in_key = [], False
    for line in lines:
        marker = PRIVATE_KEY.search(line)
        is_in_key = marker[1] == "BEGIN" if marker else is_in_key
        hidden.append(f"{line[:1]}{HIDDEN}" if is_in_key and not marker else masked_line(line))
    return hidden


def masked_line(line: str) -> str:
    line = KEY.sub(HIDDEN, LOGIN.sub(rf"\1{HIDDEN}@", line))
    secrets = (found.end() for found in ASSIGNMENT.finditer(line) if is_secret(found[1] or found[2]))
    end = next(secrets, None)
    return line if end is None else line[:end] + HIDDEN
