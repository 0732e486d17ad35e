"""URLs of this room, as Gorse's clients call them: without a slash at the end, or with one before no category."""

from django.urls import path

from serving.web.gorse import entries, feedback, lists

urlpatterns = [
    path("feedback", feedback.FeedbackView.as_view(), name="gorse-feedback"),
    path("item", entries.ItemsView.as_view(), name="gorse-item-insert"),
    path("items", entries.ItemsView.as_view(), name="gorse-items"),
    path("item/<str:item_id>", entries.ItemView.as_view(), name="gorse-item"),
    path("item/<str:item_id>/neighbors", lists.NeighborsView.as_view(), name="gorse-neighbors"),
    path("item/<str:item_id>/neighbors/", lists.NeighborsView.as_view(), name="gorse-neighbors-all"),
    path("item/<str:item_id>/neighbors/<path:category>", lists.NeighborsView.as_view(), name="gorse-neighbors-of"),
    path("user", entries.UsersView.as_view(), name="gorse-user-insert"),
    path("users", entries.UsersView.as_view(), name="gorse-users"),
    path("user/<str:user_id>", entries.UserView.as_view(), name="gorse-user"),
    path("recommend/<str:user_id>", lists.RecommendView.as_view(), name="gorse-recommend"),
    path("recommend/<str:user_id>/", lists.RecommendView.as_view(), name="gorse-recommend-all"),
    path("recommend/<str:user_id>/<path:category>", lists.RecommendView.as_view(), name="gorse-recommend-of"),
    path("session/recommend", lists.SessionView.as_view(), name="gorse-session"),
    path("session/recommend/<path:category>", lists.SessionView.as_view(), name="gorse-session-of"),
    path("popular", lists.PopularView.as_view(), name="gorse-popular"),
    path("popular/", lists.PopularView.as_view(), name="gorse-popular-all"),
    path("popular/<path:category>", lists.PopularView.as_view(), name="gorse-popular-of"),
    path("latest", lists.LatestView.as_view(), name="gorse-latest"),
    path("latest/", lists.LatestView.as_view(), name="gorse-latest-all"),
    path("latest/<path:category>", lists.LatestView.as_view(), name="gorse-latest-of"),
]
