"""ASGI: the application that `serving.web.server` runs, the gateway around `serving.web.wsgi`.

Each web process imports this module once, after all others, so the collector is tuned here.
"""

from serving.web.wsgi import application as wsgi_application  # isort: skip - it configures Django

from django.conf import settings

from serving.web import services
from serving.web.authentication import shows_key
from serving.web.gateway import Gateway
from serving.web.limits import TokenBuckets
from stream.worker.gc_tuning import collect_seldom

application = Gateway(
    wsgi_application,
    threads=settings.SERVING.serve_threads,
    rate=TokenBuckets(settings.SERVING.requests_per_second),
    unlimited=shows_key,
    on_stop=services.close,
)

collect_seldom()
