"""Settings of monitoring. The main function reads them once from the environment."""

from pydantic import Field

from graphstore.config import PackageSettings


class MonitoringConfig(PackageSettings):
    """How often the monitor measures, over which windows, and which figures cause a retrain request."""

    monitor_interval_seconds: float = Field(15.0, gt=0, le=3600, description="pause between two passes of the monitor")
    attribution_lookback_seconds: float = Field(
        7 * 86_400, gt=0, description="how long after its arrival an interaction may still find its served list"
    )
    ctr_window_seconds: int = Field(3600, ge=1, le=30 * 86_400, description="length of one CTR window")
    ctr_min_impressions: int = Field(
        1000, ge=1, description="impressions that a window must have before its CTR may ask for a retrain"
    )
    drift_interval_seconds: float = Field(3600.0, gt=0, description="pause between two drift reports")
    drift_window_seconds: int = Field(
        86_400, ge=1, le=7 * 86_400, description="length of the traffic that is tested for drift"
    )
    drift_reference_seconds: int = Field(
        28 * 86_400,
        ge=7 * 86_400,
        description="how far the traffic goes back that it is compared with: before it, and before the champion's training",
    )
    drift_quiet_days: float = Field(
        30.0, gt=0, description="a shop in which nothing changes has at most one false drift alarm in so many days"
    )
    retrain_cooldown_seconds: float = Field(
        3600.0, ge=0, description="pause after any retrain request before monitoring makes one"
    )
