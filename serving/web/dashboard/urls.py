"""URLs of the dashboard, below `/dashboard/`."""

from django.urls import path, re_path

from serving.web.dashboard import catalogue, errands, login, pages, reports, shoppers

urlpatterns = [
    path("", pages.page, name="dashboard"),
    path("login/", login.login, name="dashboard-login"),
    path("enter/", login.enter, name="dashboard-enter"),
    path("logout/", login.logout, name="dashboard-logout"),
    path("shoppers/", shoppers.shopper, name="dashboard-shoppers"),
    path("catalogue/", catalogue.search, name="dashboard-catalogue"),
    path("errands/", errands.newest, name="dashboard-errands"),
    path("errands/ask/", errands.ask, name="dashboard-ask"),
    path("errands/<slug:errand_id>/", errands.state, name="dashboard-errand"),
    path("errands/<slug:errand_id>/result/", errands.result, name="dashboard-result"),
    path("reports/<str:name>", reports.report, name="dashboard-report"),
    path("<slug:name>/", pages.page, name="dashboard-page"),
    path("<slug:name>/table/<int:number>/", pages.table, name="dashboard-table"),
    re_path(r"^(?P<path>[\s\S]+)$", pages.missing, name="dashboard-missing"),
]
