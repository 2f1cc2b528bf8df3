# SPDX-License-Identifier: Apache-2.0
"""The fleet's Django settings, made from a database's URL: one place, nothing from the surroundings.

Call `configure` before any other module of tools.fleet is imported that touches the store. `open_store` brings the
tables up to date and takes the secret that signs sessions from the store, so that several processes agree on it.
"""

import logging
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connections

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
ACCEPTED = "sqlite:///FILE, or postgresql://USER:PASSWORD@HOST:PORT/NAME"
_SQLITE = {
    "transaction_mode": "IMMEDIATE",  # two writers wait for each other instead of failing half-way
    "timeout": 30,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536",
}


class StoreError(Exception):
    """A database that can't be used; `args[0]` is the one line to show, without its password."""


def database(url: str) -> dict[str, Any]:
    """Return Django's words for a database's URL; StoreError where it is none that is accepted."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise StoreError(f"--db: not understood; accepted: {ACCEPTED}") from None
    if parts.scheme == "sqlite" and not parts.netloc and len(parts.path) > 1:
        path = Path(unquote(parts.path[1:]))
        if not path.parent.is_dir():
            raise StoreError(f"--db: {path.parent} is no folder; accepted: {ACCEPTED}")
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": _SQLITE}
    if parts.scheme in {"postgresql", "postgres"} and len(parts.path) > 1:
        options = dict(parse_qsl(parts.query))
        try:
            port = str(parts.port or "")
        except ValueError:
            raise StoreError(f"--db: a port is a number up to 65535; accepted: {ACCEPTED}") from None
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(parts.path[1:]),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": options.pop("host", parts.hostname or ""),
            "PORT": options.pop("port", port),
            "OPTIONS": options,
            "CONN_HEALTH_CHECKS": True,
            "CONN_MAX_AGE": 60,
        }
    raise StoreError(f"--db: not understood; accepted: {ACCEPTED}")


_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
    "django_htmx",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "tools.fleet.app.Fleet",
]
_MIDDLEWARE = [
    "tools.fleet.guard.headers",
    "tools.fleet.guard.no_nul",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "tools.fleet.people.Guard",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
_TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "tools.fleet.pages.everywhere",
            ],
            "builtins": ["tools.fleet.tags"],
        },
    }
]


def configure(url: str, *, hosts: Sequence[str] = LOOPBACK, secure: bool = False) -> None:
    """Name the store and the page's names; `secure`: the browser speaks TLS with us, or with our proxy."""
    words = database(url)
    if settings.configured:  # another store in the same process
        connections.close_all()
        connections.settings["default"] = connections.configure_settings({"default": words})["default"]
        if hasattr(connections._connections, "default"):  # noqa: SLF001 (Django has no other way to change a store)
            del connections["default"]
        return
    settings.configure(
        DATABASES={"default": words},
        SECRET_KEY=secrets.token_urlsafe(50),  # until the store's own is known
        ALLOWED_HOSTS=list(hosts),
        INSTALLED_APPS=_APPS,
        MIDDLEWARE=_MIDDLEWARE,
        ROOT_URLCONF="tools.fleet.urls",
        TEMPLATES=_TEMPLATES,
        PASSWORD_HASHERS=["django.contrib.auth.hashers.Argon2PasswordHasher"],
        OTP_TOTP_ISSUER="oubli",
        LOGIN_URL="login",
        LOGIN_REDIRECT_URL="gateways",
        LOGOUT_REDIRECT_URL="login",
        SESSION_COOKIE_AGE=12 * 3600,
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_SECURE=secure,
        CSRF_COOKIE_SAMESITE="Strict",
        CSRF_COOKIE_HTTPONLY=True,
        CSRF_COOKIE_SECURE=secure,
        LANGUAGE_COOKIE_SAMESITE="Strict",
        LANGUAGE_COOKIE_SECURE=secure,
        SECURE_REFERRER_POLICY="same-origin",
        X_FRAME_OPTIONS="DENY",
        DATA_UPLOAD_MAX_MEMORY_SIZE=65536,
        LANGUAGES=[("en", "English"), ("fr", "Français")],
        LANGUAGE_CODE="en",
        USE_TZ=True,
        TIME_ZONE="UTC",
        STATIC_URL="/static/",
        WHITENOISE_USE_FINDERS=True,
        WHITENOISE_AUTOREFRESH=False,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        LOGGING_CONFIG=None,  # a daemon's log lines are its own
    )
    django.setup()
    # What a stranger asks for would be lines in the journal, as many as he likes; a fault of the page stays one.
    logging.getLogger("django").setLevel(logging.ERROR)
    logging.getLogger("django.security").setLevel(logging.CRITICAL)


def open_store(*, new: bool = True) -> None:
    """Bring the tables up to date; StoreError: no reach, not ours, or not there and not to be made.

    A store in a file is its owner's alone: who reads a session of it is the
    operator. One that was open to others is closed.
    """
    from django.db.utils import Error

    words = connections["default"].settings_dict
    if not new and words["ENGINE"].endswith("sqlite3") and not Path(words["NAME"]).exists():
        raise StoreError(f"--db: {words['NAME']}: there is no store; accepted: one that serve or import has made")
    if words["ENGINE"].endswith("sqlite3") and not words["NAME"].startswith(":"):
        _close(Path(words["NAME"]))
    try:
        call_command("migrate", verbosity=0, interactive=False)
        from tools.fleet.models import Setting

        secret, _ = Setting.objects.get_or_create(name="secret", defaults={"value": secrets.token_urlsafe(50)})
    except Error as failure:
        raise StoreError(
            f"--db: can't be used ({' '.join(str(failure).split())[:160]}); accepted: {ACCEPTED}"
        ) from None
    settings.SECRET_KEY = secret.value


def _close(path: Path) -> None:
    """Make the file of a store, and what SQLite keeps beside it, readable to its owner alone."""
    try:
        if not path.exists():
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        for one in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))):
            if one.is_file() and one.stat().st_mode & 0o077:
                one.chmod(0o600)
    except OSError as failure:
        raise StoreError(f"--db: {path}: {failure.strerror}; accepted: {ACCEPTED}") from None
