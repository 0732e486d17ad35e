"""URLs: lists every path of the web server."""

from django.urls import include, path, register_converter
from drf_spectacular.views import SpectacularSwaggerSplitView

from serving.web import demo, health, list_views, messages, schema_view, shop, shop_items, tag, views
from serving.web.data import erasures, items, users
from serving.web.parameters import IdConverter

register_converter(IdConverter, "id")

handler400 = "serving.web.answers.bad_request"
handler404 = "serving.web.answers.not_found"
handler500 = "serving.web.answers.server_error"

urlpatterns = [
    path("recommendations/", list_views.ListsView.as_view(), name="lists"),
    path("recommendations/<id:user_id>/", list_views.RecommendationsView.as_view(), name="recommendations"),
    path("items/<id:item_id>/similar/", list_views.SimilarItemsView.as_view(), name="similar"),
    path("items/<id:item_id>/bought-together/", list_views.BoughtTogetherView.as_view(), name="bought-together"),
    path("items/", items.ItemsView.as_view(), name="items"),
    path("items/stock/", items.StockView.as_view(), name="stock"),
    path("items/<id:item_id>/", items.ItemView.as_view(), name="item"),
    path("users/<id:user_id>/export/", erasures.ExportView.as_view(), name="export"),
    path("users/<id:user_id>/token/", users.TokenView.as_view(), name="token"),
    path("users/<id:user_id>/", users.UserView.as_view(), name="user"),
    path("erasures/<id:receipt>/", erasures.ErasureView.as_view(), name="erasure"),
    path("identities/", users.IdentitiesView.as_view(), name="identities"),
    path("trending/", list_views.TrendingView.as_view(), name="trending"),
    path("best-sellers/", list_views.BestSellersView.as_view(), name="best-sellers"),
    path("categories/", list_views.CategoriesView.as_view(), name="categories"),
    path("categories/<id:category>/items/", list_views.CategoryItemsView.as_view(), name="category-items"),
    path("events/", views.EventsView.as_view(), name="events"),
    *(
        path(f"events/{shape}/", views.MessagesView.as_view(shape=shape), name=f"events-{shape}")
        for shape in messages.DOORS
    ),
    path("seen/", views.SeenView.as_view(), name="seen"),
    path("track/", views.TrackView.as_view(), name="track"),
    path("retrain/", views.RetrainView.as_view(), name="retrain"),
    path("api/schema/", schema_view.SchemaView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("api/", include("serving.web.gorse.urls")),
    path("healthz", health.healthz, name="healthz"),
    path("", shop.page, name="shop"),
    path("tag.js", tag.tag, name="tag"),
    path("demo/", demo.page, name="demo"),
    path("dashboard/", include("serving.web.dashboard.urls")),
    path("shop/events/", shop.clicked, name="shop-events"),
    path("shop/search/", shop_items.search, name="shop-search"),
    path("shop/items/", shop_items.items, name="shop-items"),
]
