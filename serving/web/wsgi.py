"""WSGI: the web application. WhiteNoise serves static files, Django answers all other requests.

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

application = WhiteNoise(get_wsgi_application(), max_age=300)
for package in ("serving.web", "drf_spectacular_sidecar"):
    if find_spec(package) is None:
        logger.warning("%s is not installed: /api/docs/ stays blank, /api/schema/ works", package)
        continue
    application.add_files(str(files(package).joinpath("static")), prefix="static/")
