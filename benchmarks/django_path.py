"""Django path: the web application without the front, to see what the front saves."""

from serving.web.wsgi import django_application as _wsgi  # isort: skip - it configures Django

from django.conf import settings

from serving.web import services
from serving.web.authentication import shows_key
from serving.web.gateway import Gateway
from serving.web.limits import TokenBuckets
from stream.worker.gc_tuning import collect_seldom

application = Gateway(
    _wsgi,
    threads=settings.SERVING.serve_threads,
    rate=TokenBuckets(settings.SERVING.requests_per_second),
    unlimited=shows_key,
    on_stop=services.close,
)

collect_seldom()
