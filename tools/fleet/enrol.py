# SPDX-License-Identifier: Apache-2.0
"""Two small certificate authorities for operators who have none: one for broker and gateways, one for collectors.

A gateway's certificate has its id as common name, by which the broker's access list goes. It has it again as its only
other name, by which RabbitMQ tells its client id. The broker lets collectors in at a listener of their own, which knows
their authority alone: a gateway's certificate is worth nothing there. Every key is made here, P-256, and written with
mode 0600 before its certificate; nothing that exists is overwritten. Whoever loses an authority's key, or wants a
gateway out, makes another authority: what isn't enrolled there is then refused.

Where the folder has the broker's certificate, each gateway also gets an archive, ID.join:
all that `oubli join` needs there, as text.
"""

import datetime as dt
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tools import disk
from tools.commands import bounded
from tools.fleet import listing
from tools.fleet.listing import IDENT, Listed, ListError

PORT = 8883  # of the gateways' listener, as tools/fleet/mosquitto has it
COLLECTOR, COLLECTORS = "oubli-fleet", "collectors"  # a collector's name, and its authority's file
_HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.IGNORECASE
)
_BEFORE = dt.timedelta(days=1)  # a gateway's clock may be behind
_AUTHORITY, _LEAF = dt.timedelta(days=3650), dt.timedelta(days=825)


class EnrolError(Exception):
    """Nothing was made; `args[0]` is the one line to show."""


@dataclass(frozen=True)
class Made:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path
    archive: Path | None = None


class Authority:
    """An authority in a folder, made at first use: `ca.pem` and `ca.key` of broker and gateways, or a `name`."""

    def __init__(self, folder: Path, now: dt.datetime, name: str = "ca", *, renew: bool = False) -> None:
        self.folder, self._now, self._renew = folder, now, renew
        self.certificate = folder / f"{name}.pem"
        key = folder / f"{name}.key"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self.certificate.exists():
                self._key = _new_key(key)
                disk.write_new(
                    self.certificate,
                    _pem(self._sign(f"oubli fleet authority {name}", self._key, _AUTHORITY, None, None)),
                    0o644,
                )
            self._key = _load(key)
            self._own = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        except FileExistsError:
            if not folder.is_dir():
                raise EnrolError(f"--folder: {folder}: Not a directory; accepted: a folder of yours") from None
            raise EnrolError(f"--folder: {key} is there without its certificate; accepted: both, or neither") from None
        except OSError as failure:
            raise EnrolError(f"--folder: {failure.filename}: {failure.strerror}; accepted: a folder of yours") from None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise EnrolError(
                f"--folder: {folder}: no authority of ours; accepted: an empty folder, or one that enrol has made"
            ) from None

    def gateway(self, ident: str) -> Made:
        """Make a gateway's certificate."""
        check(ident)
        made = self._leaf(ident, ident, ExtendedKeyUsageOID.CLIENT_AUTH, x509.DNSName(ident))
        host = self._broker_host()
        if not host:
            return made
        archive = self.folder / f"{ident}.join"
        parts = (made.certificate.read_text(), made.key.read_text(), self.certificate.read_text())
        _replace(archive, f"oubli-join 1\nid {ident}\nhost {host}\nport {PORT}\n{''.join(parts)}".encode())
        return Made(made.certificate, made.key, archive)

    def _broker_host(self) -> str:
        """Return the name or address that the broker's certificate in this folder is for, "" without one."""
        try:
            found = x509.load_pem_x509_certificate((self.folder / "broker.pem").read_bytes())
            names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except FileNotFoundError:
            return ""
        except (OSError, ValueError, x509.ExtensionNotFound):
            raise EnrolError(
                f"--folder: {self.folder / 'broker.pem'}: no certificate of a broker; accepted: what enrol has made"
            ) from None
        return str(next(iter(names)).value)

    def note(self, rows: Iterable[Listed]) -> Path:
        """Write gateways into the folder's list, read by `oubli-fleet expect`; a later row replaces a former."""
        path = self.folder / "gateways.csv"
        listed = {row.ident: row for row in read_list(path)} if path.exists() else {}
        for row in rows:
            former = listed.get(row.ident, row)
            listed[row.ident] = Listed(
                row.ident, row.name or former.name, row.group or former.group, row.tags or former.tags
            )
        _replace(path, listing.text(listed.values()).encode())
        return path

    def collector(self) -> Made:
        """Make the collectors' (`collectors.pem`, `collectors.key`), by their own authority in the same folder."""
        own = Authority(self.folder, self._now, COLLECTORS, renew=self._renew)
        return own._leaf(COLLECTOR, COLLECTOR, ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def broker(self, host: str) -> Made:
        """Make the broker's, for a host name or an address."""
        name: x509.GeneralName
        try:
            name = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            if not _HOST.fullmatch(host):
                raise EnrolError("--broker: no host; accepted: a host name or an IP address") from None
            name = x509.DNSName(host)
        return self._leaf("broker", host[:64], ExtendedKeyUsageOID.SERVER_AUTH, name)

    def _leaf(self, file: str, common: str, usage: x509.ObjectIdentifier, name: x509.GeneralName | None) -> Made:
        made = Made(self.folder / f"{file}.pem", self.folder / f"{file}.key")
        if self._renew and not made.certificate.exists():
            raise EnrolError(f"--renew: {made.certificate}: isn't there; accepted: what was enrolled before")
        try:
            if self._renew:
                made.key.unlink(missing_ok=True)
                made.certificate.unlink()
            key = _new_key(made.key)
            disk.write_new(made.certificate, _pem(self._sign(common, key, _LEAF, usage, name)), 0o644)
        except FileExistsError as failure:
            raise EnrolError(
                f"{failure.filename}: is there already; accepted: what isn't enrolled yet, or another folder"
            ) from None
        except OSError as failure:
            raise EnrolError(f"{failure.filename}: {failure.strerror}; accepted: a folder of yours") from None
        return made

    def _sign(
        self,
        common: str,
        key: ec.EllipticCurvePrivateKey,
        lasts: dt.timedelta,
        usage: x509.ObjectIdentifier | None,
        name: x509.GeneralName | None,
    ) -> x509.Certificate:
        """Return a certificate of this key, signed by the authority; without a usage it is the authority's own."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
        own = usage is None
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if own else self._own.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _BEFORE)
            .not_valid_after(self._now + lasts)
            .add_extension(x509.BasicConstraints(ca=own, path_length=0 if own else None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=not own, key_cert_sign=own, crl_sign=own,
                    content_commitment=False, key_encipherment=False, data_encipherment=False,
                    key_agreement=False, encipher_only=False, decipher_only=False,
                ),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )  # fmt: skip
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if name is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def check_place(folder: Path, idents: Iterable[str], *, renew: bool) -> None:
    """Raise EnrolError where one of many couldn't be made, before any is."""
    for ident in idents:
        path = folder / f"{ident}.pem"
        if path.exists() and not renew:
            raise EnrolError(f"{path}: is there already; accepted: what isn't enrolled yet, another folder, or --renew")
        if renew and not path.exists():
            raise EnrolError(f"--renew: {path}: isn't there; accepted: what was enrolled before")


def read_list(path: Path, *, made: bool = True) -> list[Listed]:
    """Return the gateways of a file (`tools.fleet.listing`); EnrolError names file and line."""
    try:
        return listing.parse(bounded(path, listing.LARGEST), made=made)
    except OSError as failure:
        accepted = f"accepted: CSV of at most {listing.LARGEST >> 20} MiB, with a head: {', '.join(listing.COLUMNS)}"
        raise EnrolError(f"{path}: {failure.strerror}; {accepted}") from None
    except ListError as failure:
        raise EnrolError(f"{path}: {failure}") from None


def check(ident: str) -> None:
    """Raise EnrolError where this is no gateway's id."""
    if not IDENT.fullmatch(ident):
        raise EnrolError(
            f"GATEWAY: {ident[:32]!r} is no id; accepted: 16 characters of a-z2-7, as /etc/config/oubli has it"
        )


def _new_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Make a key and its file; FileExistsError where there is one."""
    key = ec.generate_private_key(ec.SECP256R1())
    octets = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    disk.write_new(path, octets, 0o600)
    return key


def _load(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError
    return key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _replace(path: Path, octets: bytes) -> None:
    """Make a secret file, in the place of a former one."""
    path.unlink(missing_ok=True)
    disk.write_new(path, octets, 0o600)
