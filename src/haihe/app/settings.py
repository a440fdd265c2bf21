"""Django's settings, derived from :class:`haihe.kernel.settings.HaiheSettings`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy

from haihe.kernel.logs import configure_logs
from haihe.kernel.settings import OidcProvider, load_settings, secret_from_home
from haihe.packs.portals import pack_applications

haihe = load_settings()
HOME = haihe.home.resolve()
PACKAGE = Path(__file__).resolve().parent.parent

SECRET_KEY = haihe.secret_key.get_secret_value() or secret_from_home("django.key", home=HOME)
DEBUG = haihe.debug
PUBLIC_URL = haihe.public_url.rstrip("/")
_public = urlsplit(PUBLIC_URL)
ALLOWED_HOSTS = [*haihe.allowed_hosts, _public.hostname or "127.0.0.1"]
CSRF_TRUSTED_ORIGINS = [f"{_public.scheme}://{_public.netloc}"]
ROOT_URLCONF = "haihe.app.urls"
ASGI_APPLICATION = "haihe.app.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SITE_ID = 1

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
    "haihe.portal",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "django_cotton.apps.SimpleAppConfig",
    "django_htmx",
    "csp",
    "haihe.kernel",
    "haihe.policy",
    "haihe.evidence",
    "haihe.ledger",
    "haihe.parties",
    "haihe.data",
    "haihe.compute",
    "haihe.packs",
    "haihe.programme",
    *pack_applications(),
    "haihe.app",
]

MIDDLEWARE = [
    "haihe.kernel.http.RequestIdMiddleware",
    "haihe.kernel.http.PlainAddressMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "haihe.portal.middleware.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "haihe.parties.middleware.PrincipalMiddleware",
    "haihe.portal.middleware.ErrorPageMiddleware",
    "haihe.api.middleware.IdempotencyMiddleware",
    "haihe.api.middleware.EditMiddleware",
]

# Components are templates in `cotton/`; a component sees its own attributes and what the context
# processors give, never the variables of the page around it.
COTTON_ISOLATE_BY_DEFAULT = True
_loaders: list[Any] = ["haihe.portal.loader.Loader"]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "loaders": _loaders if DEBUG else [("django.template.loaders.cached.Loader", _loaders)],
            "builtins": [
                "django_cotton.templatetags.cotton",
                "django.templatetags.i18n",
                "django.templatetags.static",
                "haihe.portal.templatetags.haihe",
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "haihe.portal.context.portal",
            ],
        },
    }
]


def identity_providers(providers: Sequence[OidcProvider]) -> dict[str, Any]:
    """django-allauth's description of the OpenID Connect providers."""
    apps = [
        {
            "provider_id": provider.provider_id,
            "name": provider.name,
            "client_id": provider.client_id,
            "secret": provider.secret.get_secret_value(),
            "settings": {
                "server_url": provider.server_url,
                "verified_email": provider.trust_email,
            },
        }
        for provider in providers
    ]
    return {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": apps}}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _database(url: str) -> dict[str, Any]:
    """Django's description of the database that ``url`` names; SQLite in the home if empty."""
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": HOME / "haihe.sqlite3",
            "OPTIONS": {
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                "init_command": (
                    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
                    "PRAGMA busy_timeout=20000; PRAGMA cache_size=-32000; "
                    # Without it INSERT OR REPLACE slips past the triggers that forbid deleting.
                    "PRAGMA recursive_triggers=ON;"
                ),
            },
            "TEST": {"NAME": HOME / "test.sqlite3"},
        }
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            # What libpq is told beyond that, such as sslmode=require.
            **dict(parse_qsl(parts.query, strict_parsing=bool(parts.query))),
            "pool": {"min_size": 0, "max_size": 16, "timeout": 20},
        },
    }


DATABASES = {"default": _database(haihe.database_url)}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "kernel_cache",
        # Rate limits count here: many callers at once must not push out each other's counts.
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    }
}

AUTH_USER_MODEL = "parties.Person"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"

ACCOUNT_ADAPTER = "haihe.parties.adapters.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_USER_MODEL_EMAIL_FIELD = "email"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "optional"
ACCOUNT_SIGNUP_FORM_HONEYPOT_FIELD = "nickname"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_DEFAULT_HTTP_PROTOCOL = _public.scheme
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    "login_failed": "10/m/ip,5/5m/key",
    "signup": "20/m/ip",
    "reset_password": "20/m/ip,5/m/key",
}
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Haihe"
SOCIALACCOUNT_ONLY = False
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False
SOCIALACCOUNT_ADAPTER = "haihe.parties.adapters.SocialAccountAdapter"
SOCIALACCOUNT_PROVIDERS = identity_providers(haihe.oidc)

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _public.scheme == "https"
SESSION_COOKIE_AGE = 12 * 3600
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 31_536_000 if _public.scheme == "https" else 0
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        # A browser follows the redirect to a provider only if forms may lead there.
        "form-action": [SELF, *sorted({_origin(provider.server_url) for provider in haihe.oidc})],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 4_000_000
FILE_UPLOAD_MAX_MEMORY_SIZE = 1_000_000

USE_TZ = True
TIME_ZONE = haihe.time_zone
USE_I18N = True
LANGUAGE_CODE = haihe.language
LANGUAGES = [("zh-hans", gettext_lazy("Chinese")), ("en", gettext_lazy("English"))]
LOCALE_PATHS = [PACKAGE / "locale"]

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 3600

_email = urlsplit(haihe.email_url)
DEFAULT_FROM_EMAIL = haihe.email_from
EMAIL_SUBJECT_PREFIX = ""
if _email.scheme in ("smtp", "smtps"):
    EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    EMAIL_HOST = _email.hostname or "localhost"
    EMAIL_PORT = _email.port or 25
    EMAIL_HOST_USER = unquote(_email.username or "")
    EMAIL_HOST_PASSWORD = unquote(_email.password or "")
    EMAIL_USE_SSL = _email.scheme == "smtps"
    EMAIL_TIMEOUT = 10
elif _email.scheme == "file":
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = _email.path or str(HOME / "mail")
else:
    EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

LOGGING_CONFIG = None
configure_logs(haihe)
