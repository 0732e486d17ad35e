"""WSGI: the web application. The front answers the request of every page, WhiteNoise serves static files, and Django
answers all other requests.

`serving.web.asgi` reads the requests for it.
"""

import logging
import os
from importlib.resources import files
from importlib.util import find_spec

from django.core.wsgi import get_wsgi_application
from whitenoise import WhiteNoise

logger = logging.getLogger(__name__)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "serving.web.settings")

django_application = WhiteNoise(get_wsgi_application(), max_age=300)
NEEDED_BY = {"drf_spectacular_sidecar": "/api/docs/ stays blank", "django_htmx": "/dashboard/ does not refresh itself"}
for package in ("serving.web", *NEEDED_BY):
    if find_spec(package) is None:
        logger.warning("%s is not installed: %s", package, NEEDED_BY.get(package, "its pages have no style"))
        continue
    django_application.add_files(str(files(package).joinpath("static")), prefix="static/")

from serving.web.front import fronted  # noqa: E402 - it needs Django's settings

application = fronted(django_application)
