"""Settings of monitoring. The main function reads them once from the environment."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from graphstore.addresses import check_webhook_url
from graphstore.config import PackageSettings
from monitoring.credit_windows import CLICK_SECONDS, CONVERSION_SECONDS, CreditWindows

LEAST_ALARM_SECRET = 16
"""Characters. A shorter secret can be guessed from one signed alarm."""


def _webhook(url: SecretStr) -> SecretStr:
    check_webhook_url(url.get_secret_value())
    return url


class MonitoringConfig(PackageSettings):
    """How often the monitor measures, over which windows, and which figures cause a retrain request."""

    monitor_interval_seconds: float = Field(15.0, gt=0, le=3600, description="pause between two passes of the monitor")
    attribution_click_seconds: float = Field(
        CLICK_SECONDS, gt=0, le=90 * 86_400, description="how long after a list a click or a cart is credited to it"
    )
    attribution_conversion_seconds: float = Field(
        CONVERSION_SECONDS, gt=0, le=90 * 86_400, description="how long after a list a purchase is credited to it"
    )
    drift_interval_seconds: float = Field(3600.0, gt=0, description="pause between two drift reports")
    drift_window_seconds: int = Field(
        86_400, ge=1, le=7 * 86_400, description="length of the traffic that is tested for drift"
    )
    drift_reference_seconds: int = Field(
        28 * 86_400,
        ge=7 * 86_400,
        description="length of the traffic it is compared with: before it, and before the champion's training",
    )
    drift_quiet_days: float = Field(
        30.0, gt=0, description="a shop in which nothing changes has at most one false drift alarm in so many days"
    )
    retrain_cooldown_seconds: float = Field(
        3600.0, ge=0, description="pause after any retrain request before monitoring makes one"
    )
    alarm_webhook: Annotated[SecretStr, AfterValidator(_webhook)] | None = Field(
        None, description="URL (http or https) that alarms are posted to; unset: nowhere"
    )
    alarm_secret: SecretStr | None = Field(
        None,
        min_length=LEAST_ALARM_SECRET,
        validate_default=True,
        description="secret that signs posted alarms; needed where they are posted",
    )

    @field_validator("alarm_secret")
    @classmethod
    def _signed(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if secret is None and info.data.get("alarm_webhook") is not None:
            raise ValueError("alarms that are posted are signed: it is needed beside the webhook")
        return secret

    @property
    def credit_windows(self) -> CreditWindows:
        """The windows of attribution."""
        return CreditWindows(self.attribution_click_seconds, self.attribution_conversion_seconds)
