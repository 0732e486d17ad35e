"""An Apache Kafka that asks who you are: one listener with passwords over TLS, one with client certificates.

Arrives: a directory and a Kafka. Leaves: the running broker, and the settings of Sagestream that reach either listener.
The certificates are made by openssl, of an authority of our own, for 127.0.0.1 and localhost.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sagestream.playground.embedded import LOOPBACK, Broker, accepts, free_port, start_broker

USER, PASSWORD = "shop", "open sesame"
START_SECONDS = 180.0


@dataclass(frozen=True)
class Certificates:
    """PEM files. `broker` holds the key and the certificate, as Kafka wants them."""

    authority: Path
    broker: Path
    client_certificate: Path
    client_key: Path


@dataclass(frozen=True)
class SecureBroker:
    """The running broker: settings (environment variables) for each of its listeners."""

    broker: Broker
    certificates: Certificates
    password_port: int
    certificate_port: int

    def with_password(self, password: str = PASSWORD, *, host: str = LOOPBACK) -> dict[str, str]:
        """TLS and SASL."""
        return {
            "SAGESTREAM_KAFKA_BOOTSTRAP_SERVERS": f"{host}:{self.password_port}",
            "SAGESTREAM_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "SAGESTREAM_KAFKA_SASL_MECHANISM": "PLAIN",
            "SAGESTREAM_KAFKA_SASL_USERNAME": USER,
            "SAGESTREAM_KAFKA_SASL_PASSWORD": password,
            "SAGESTREAM_KAFKA_SSL_CAFILE": str(self.certificates.authority),
        }

    def with_certificate(self) -> dict[str, str]:
        """TLS on both sides."""
        return {
            "SAGESTREAM_KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{self.certificate_port}",
            "SAGESTREAM_KAFKA_SECURITY_PROTOCOL": "SSL",
            "SAGESTREAM_KAFKA_SSL_CAFILE": str(self.certificates.authority),
            "SAGESTREAM_KAFKA_SSL_CERTFILE": str(self.certificates.client_certificate),
            "SAGESTREAM_KAFKA_SSL_KEYFILE": str(self.certificates.client_key),
        }


@contextmanager
def secure_broker(directory: Path, home: Path) -> Iterator[SecureBroker]:
    """Start it; it ends with the block."""
    certificates = make_certificates(directory / "certificates")
    broker = start_broker(directory / "broker", home=home)
    broker.child.stop()
    ports = free_port(), free_port()
    _secure(directory / "broker" / "server.properties", certificates, *ports)
    broker.child.start()
    try:
        broker.child.wait_ready(lambda: all(map(accepts, ports)), START_SECONDS)
        yield SecureBroker(broker, certificates, *ports)
    finally:
        broker.child.stop()


def make_certificates(directory: Path) -> Certificates:
    """An authority, and a key and certificate of its for the broker and for a client."""
    directory.mkdir(parents=True)

    def openssl(words: str) -> None:
        subprocess.run(["openssl", *words.split()], cwd=directory, check=True, capture_output=True)

    openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem")
    (directory / "names").write_text(f"subjectAltName=IP:{LOOPBACK},DNS:localhost\n")
    for name in ("broker", "client"):
        openssl(f"req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr")
        openssl(
            f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out {name}.pem"
        )
    both = directory / "broker-store.pem"
    both.write_bytes((directory / "broker.key").read_bytes() + (directory / "broker.pem").read_bytes())
    return Certificates(directory / "ca.pem", both, directory / "client.pem", directory / "client.key")


def _secure(properties: Path, certificates: Certificates, password_port: int, certificate_port: int) -> None:
    """Add the two listeners to the settings that the broker was started with."""
    settings = dict(line.split("=", 1) for line in properties.read_text().splitlines())
    ports = {"SASL_SSL": password_port, "SSL": certificate_port}
    added = ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in ports.items())
    for name in ("listeners", "advertised.listeners"):
        settings[name] += f",{added}"
    settings["listener.security.protocol.map"] += "".join(f",{name}:{name}" for name in ports)
    settings |= {
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": (
            f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        ),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.broker),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.authority),
        "listener.name.ssl.ssl.client.auth": "required",
    }
    properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
