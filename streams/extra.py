"""What is kept of the fields that the contract does not know: all but personal ones, within limits.

Easy to get wrong: this must never cost an event. A field that is too deep, too long or a number that JSON writers
cannot hold is left out whole, and the event still counts.
"""

from functools import lru_cache
from typing import Any

import msgspec

__all__ = ["MOST_BYTES", "MOST_DEPTH", "MOST_FIELDS", "MOST_NAME", "is_personal", "kept"]

MOST_BYTES = 16_384
"""Of all kept fields together, as JSON: a sixteenth of the largest record, so outputs stay small."""

MOST_FIELDS = 64
MOST_NAME = 128
"""Characters of a field's name."""

MOST_DEPTH = 8
"""Levels of objects and arrays within one field."""

_PERSONAL = frozenset({
    "birthdate", "birthday", "birthname", "cardnumber", "contact", "creditcard", "customername", "dateofbirth", "dob",
    "displayname", "familyname", "fax", "firstname", "forename", "fullname", "givenname", "iban", "ip", "lastname",
    "latitude", "lat", "lng", "login", "lon", "longitude", "mail", "maidenname", "middlename", "mobile",
    "name", "nationalid", "nickname", "passport", "passportnumber", "passwd", "postalcode", "postcode", "secret",
    "socialsecuritynumber", "ssn", "street", "surname", "taxid", "tel", "token", "userid", "username", "zip", "zipcode",
})  # fmt: skip
_PERSONAL_PARTS = ("address", "email", "ipaddr", "password", "phone")
_INT64 = range(-(2**63), 2**63)

_size = msgspec.json.Encoder().encode


class _UnfitError(Exception):
    """A value that cannot be kept."""


@lru_cache(4_096)
def is_personal(name: str) -> bool:
    """Return whether a field's name says that it holds personal data; case and separators do not matter.

    >>> [name for name in ("First-Name", "shippingAddress", "E_Mail", "product_name") if is_personal(name)]
    ['First-Name', 'shippingAddress', 'E_Mail']
    """
    plain = "".join(filter(str.isalnum, name.casefold()))
    return plain in _PERSONAL or any(part in plain for part in _PERSONAL_PARTS)


def kept(unknown: dict[str, Any]) -> dict[str, Any]:
    """Return the unknown fields that may be passed on, in their order.

    >>> kept({"coupon": "X1", "email": "a@b.c", "cart": {"items": 2, "phone": "1"}, "big": 10**30})
    {'coupon': 'X1', 'cart': {'items': 2}}
    """
    extra: dict[str, Any] = {}
    left = MOST_BYTES
    for name, value in unknown.items():
        if len(extra) == MOST_FIELDS:
            break
        if not _may_keep(name):
            continue
        try:
            clean = _clean(value, MOST_DEPTH)
        except _UnfitError:
            continue
        size = len(_size({name: clean}))
        if size <= left:
            left -= size
            extra[name] = clean
    return extra


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, int) and value not in _INT64:
        raise _UnfitError
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        raise _UnfitError
    if isinstance(value, list):
        return [_clean(item, depth - 1) for item in value]
    return {name: _clean(item, depth - 1) for name, item in value.items() if _may_keep(name)}


def _may_keep(name: str) -> bool:
    return len(name) <= MOST_NAME and not is_personal(name)
