"""Routes that anybody may call, and why: none of them tells of anybody, or acts for anybody."""

from __future__ import annotations

from collections.abc import Mapping

from tests.policy.matrix.urlconf import ANY, Route

_SIGNING_IN = "signing in, out and up; django-allauth asks who somebody is where it must"
_ALLAUTH = (
    "account_login", "account_logout", "account_inactive", "account_signup",
    "account_reauthenticate", "account_email", "account_email_verification_sent",
    "account_confirm_email", "account_confirm_login_code", "account_change_password",
    "account_set_password", "account_reset_password", "account_reset_password_done",
    "account_reset_password_from_key", "account_reset_password_from_key_done",
    "mfa_index", "mfa_authenticate", "mfa_reauthenticate", "mfa_activate_totp",
    "mfa_deactivate_totp", "mfa_view_recovery_codes", "mfa_generate_recovery_codes",
    "mfa_download_recovery_codes",
    "socialaccount_login_cancelled", "socialaccount_login_error", "socialaccount_signup",
    "socialaccount_connections", "openid_connect_login", "openid_connect_callback",
    "accounts/social/login/cancelled/", "accounts/social/login/error/",
    "accounts/social/signup/", "accounts/social/connections/",
)  # fmt: skip

OPEN: Mapping[Route, str] = {
    (ANY, "health/live"): "a load balancer asks whether the process answers",
    (ANY, "health/ready"): "a load balancer asks whether the database answers",
    (ANY, "metrics"): "Prometheus reads counts that name nobody",
    (ANY, "api:openapi-json"): "the description of the API",
    (ANY, "api:api-root"): "there is nothing at it",
    ("POST", "set_language"): "a visitor's own choice",
    ("POST", "portal:theme"): "a visitor's own choice",
    ("GET", "parties:invitation"): "whoever holds an invitation's link may see what it offers",
    ("POST", "compute:agent_enrol"): "an agent joins with the one-time token that it brings",
    ("GET", "evidence:subject"): "leads on to the page of a subject, which decides for itself",
    ("GET", "evidence:rotate_key"): "says what replacing the key means, and nothing else",
    **dict.fromkeys(((ANY, name) for name in _ALLAUTH), _SIGNING_IN),
}
