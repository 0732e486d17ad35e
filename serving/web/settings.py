"""Settings: reads the configuration of the web process once, and configures Django as an HTTP layer only.

There is no database, no session and no login: every answer comes from Redis, every write goes to Kafka. The import
connects to neither. `serving.web.services` connects at the first request.
"""

import secrets
from pathlib import Path

from django.utils.log import CallbackFilter

from graphstore.config import GraphstoreConfig
from serving.cache import ITEM_SECONDS, POINTER_SECONDS, READ_TIMEOUT_SECONDS  # noqa: F401 - settings, too
from serving.config import ServingConfig
from stream.config import StreamConfig

SERVING = ServingConfig()
GRAPHSTORE = GraphstoreConfig()
STREAM = StreamConfig()

MAX_POSTED_EVENTS = 500
"""The largest number of events in one POST."""
DELIVERY_SECONDS = 5.0
"""A POST waits at most this time for Kafka's acknowledgement."""
OUTBOX_EVENTS = 10_000
"""The largest number of impressions and events that wait for Kafka in one web worker."""

DEBUG = False
SECRET_KEY = SERVING.secret_key.get_secret_value() if SERVING.secret_key else secrets.token_urlsafe(48)
ALLOWED_HOSTS = SERVING.hosts
ROOT_URLCONF = "serving.web.urls"
WSGI_APPLICATION = "serving.web.wsgi.application"
DATABASES: dict[str, object] = {}
INSTALLED_APPS = ["rest_framework", "drf_spectacular"]
# `csrf_protect` in serving.web.shop protects the forms of the page.
MIDDLEWARE = ["serving.web.metrics.measured", "serving.web.cors.shared"]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "APP_DIRS": True,  # for the API page of drf-spectacular
    }
]
STATIC_URL = "/static/"
# What a stranger sends is no event of ours: a line for each wrong request would fill the disk. The same holds for 503,
# whose reason is logged where it is known.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "faults": {"()": CallbackFilter, "callback": lambda record: getattr(record, "status_code", 500) == 500}
    },
    "loggers": {
        "django.request": {"level": "ERROR", "filters": ["faults"]},
        "django.security": {"level": "CRITICAL"},
        "uvicorn.error": {"level": "ERROR"},
    },
}
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False

CSRF_COOKIE_SAMESITE = "Strict"
CSRF_COOKIE_HTTPONLY = True  # the page reads the token from its HTML
CSRF_FAILURE_VIEW = "serving.web.dashboard.refusals.csrf_failure"
CSRF_USE_SESSIONS = False
CSRF_TRUSTED_ORIGINS = SERVING.origins

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["serving.web.authentication.ReadKey"],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_THROTTLE_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["serving.web.rendering.OrjsonRenderer"],
    "DEFAULT_PARSER_CLASSES": [],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "serving.web.rendering.JsonAlways",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "serving.web.answers.refuse",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Sagestream",
    "DESCRIPTION": "Recommendations that follow what a shopper does.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "PREPROCESSING_HOOKS": ["serving.web.schema.own_doors"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "serving.web.schema.require_bodies",
        "serving.web.schema.name_slots",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}
