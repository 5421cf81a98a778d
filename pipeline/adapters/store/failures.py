"""What went wrong between us and an S3, in one line, without what signs a request.

Nothing of a server's answer is told as it stands: a proxy or a debugging server may send our own headers back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

CHECK = "check GENLOOP_S3_ENDPOINT, GENLOOP_BUCKET and the credentials; `genloop doctor` tells what works"
_KEYS = "check the credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or GENLOOP_S3_CREDENTIALS"
_RIGHTS = "have the bucket's owner give these credentials the right, or use others"
_REGION = "set AWS_DEFAULT_REGION to the bucket's region"
_LATER = "run again later; what is done is kept"
_KMS = "check GENLOOP_S3_KMS_KEY and the right to use that key"
_ADDRESS = "GENLOOP_S3_ENDPOINT should be the address of the S3 itself, not of a web page or a gateway before it"


class Failure(NamedTuple):
    what: str
    remedy: str


NO_S3 = Failure("what answers there does not speak S3, or its answers are cut short", _ADDRESS)
_SAID: dict[str, Failure] = {
    "NoSuchBucket": Failure("there is no such bucket", "make it, or name another one by GENLOOP_BUCKET"),
    "AccessDenied": Failure("access denied", _RIGHTS),
    "InvalidAccessKeyId": Failure("the access key is not known there", _KEYS),
    "SignatureDoesNotMatch": Failure("the signature is wrong, so the secret key is", _KEYS),
    "ExpiredToken": Failure("the session token has expired", "get new credentials and run again"),
    "InvalidToken": Failure("the session token is not valid there", "unset or renew AWS_SESSION_TOKEN"),
    "AuthorizationHeaderMalformed": Failure("it was signed for the wrong region", _REGION),
    "PermanentRedirect": Failure("the bucket is in another region, or at another address", _REGION),
    "RequestTimeTooSkewed": Failure("this machine's clock and the server's differ too much", "set the clock (NTP)"),
    "SlowDown": Failure("it asks for fewer requests, also after waiting", _LATER),
    "InternalError": Failure("the server failed, also when asked again", _LATER),
    "BadDigest": Failure("data was damaged on its way", "look at what lies between; run again"),
    "EntityTooLarge": Failure("the object is too large for it", "lower GENLOOP_S3_MULTIPART_MB"),
    "AccessControlListNotSupported": Failure("the bucket takes no ACLs", "unset GENLOOP_S3_ACL"),
    "InvalidStorageClass": Failure("it has no such storage class", "mend or unset GENLOOP_S3_STORAGE_CLASS"),
    "InvalidTag": Failure("it does not take these tags", "mend or unset GENLOOP_S3_TAGS"),
    "KMS.NotFoundException": Failure("there is no such key for encryption", _KMS),
    "KMS.DisabledException": Failure("the key for encryption is disabled", _KMS),
    "InsufficientStorage": Failure("its disk is full", "make room there; what is done is kept"),
    "NotImplemented": Failure("this server can't do that", "use an S3 that can"),
}
_SAME = {
    "403": "AccessDenied",
    "Forbidden": "AccessDenied",
    "AllAccessDisabled": "AccessDenied",
    "TokenRefreshRequired": "ExpiredToken",
    "301": "PermanentRedirect",
    "307": "PermanentRedirect",
    "IllegalLocationConstraintException": "PermanentRedirect",
    "503": "SlowDown",
    "ServiceUnavailable": "SlowDown",
    "500": "InternalError",
    "502": "InternalError",
    "504": "InternalError",
    "InvalidDigest": "BadDigest",
    "501": "NotImplemented",
    "MethodNotAllowed": "NotImplemented",
    "405": "NotImplemented",
    "507": "InsufficientStorage",
    "QuotaExceeded": "InsufficientStorage",
    "XMinioStorageFull": "InsufficientStorage",
}
_RAISED: dict[str, Failure] = {
    "EndpointConnectionError": Failure("Could not connect: nobody listens there", f"start it; {CHECK}"),
    "ConnectTimeoutError": Failure("Could not connect in time", f"see that it runs and can be reached; {CHECK}"),
    "ReadTimeoutError": Failure("it took the request and then was silent", "look at that server, then run again"),
    "ConnectionClosedError": Failure("it closed the connection before it had answered", "look at that server's log"),
    "SSLError": Failure("its TLS certificate can't be trusted", "mend it there, or name your CA by AWS_CA_BUNDLE"),
    "ProxyConnectionError": Failure("the HTTP proxy did not let it through", "check HTTPS_PROXY and NO_PROXY"),
    "NoCredentialsError": Failure("there are no credentials", _KEYS),
    "PartialCredentialsError": Failure("half of the credentials is missing", _KEYS),
    "CredentialRetrievalError": Failure("the credentials could not be fetched", "sign in again, or check AWS_PROFILE"),
    "ResponseParserError": NO_S3,
}
_LOST = ("ResponseParserError", "ResponseStreamingError", "IncompleteReadError")
_LOST_CODES = ("NoSuchUpload", "BadDigest")  # the first: it was completed, and the answer to that was lost
_SIGNED = re.compile(
    r"AWS4?[-\w]*\s*(Credential|[\w+/=]+:)[^<>]*|(authorization|x-amz-[\w-]+|signature|credential)\W{1,6}[^\s<>&]*"
    r"|[\w+/=%-]{20,}",  # of what signs, nothing is shorter
    re.IGNORECASE,
)


def plain(endpoint: str) -> str:
    """An address without what may be secret in it: a user's name and password, and a query."""
    try:
        parts = urlsplit(endpoint)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(no address)"
    bare = endpoint.partition("?")[0].rpartition("@")[2]
    return _printable(f"{parts.scheme}://{host}{parts.path}" if host else bare)[:200]


def code(error: Exception) -> str:
    """S3's own name for it, or the HTTP status; empty where there was no answer."""
    response = _response(error)
    return re.sub(r"[^\w.]", "", str(response.get("Error", {}).get("Code", "")))[:60]


def is_known(error: Exception) -> bool:
    """Whether it is of boto3 or of what it stands on, not a fault of ours."""
    return isinstance(error, KeyError) or type(error).__module__.startswith(("boto", "s3transfer", "urllib3"))


def is_page(error: Exception) -> bool:
    """Whether the answer is HTML, where an S3 gives its own name for what went wrong."""
    headers = _response(error).get("ResponseMetadata", {}).get("HTTPHeaders", {})
    named = code(error)
    return "html" in str(headers.get("content-type", "")) and (named.isdigit() or named in ("", "Unknown"))


def is_lost(error: Exception) -> bool:
    """Whether the answer broke off, after the point from which boto3 asks again by itself."""
    lost = isinstance(error, KeyError) or type(error).__name__ in _LOST
    return lost or type(error).__module__.startswith("urllib3") or code(error) in _LOST_CODES


def explain(error: Exception, secrets: Callable[[], Iterable[str]]) -> Failure:
    """An exception that `is_known`."""
    response = _response(error)
    if not response:
        return _raised(error)
    meta = response.get("ResponseMetadata", {})
    status, named = meta.get("HTTPStatusCode", 0), code(error)
    if is_page(error):
        told = "" if status == 500 else f" (HTTP status {status})"  # botocore makes 500 of a page with status 200
        return Failure(f"what answers there is a web page{told}, not an S3", _ADDRESS)
    message = str(response.get("Error", {}).get("Message", ""))
    if "request time" in message and "server's time" in message:
        named = "RequestTimeTooSkewed"  # rclone calls it AccessDenied
    if known := _SAID.get(_SAME.get(named, named)):
        return Failure(f"{known.what}{_right_region(response)} ({named})", known.remedy)
    if str(status) in _SAME:
        known = _SAID[_SAME[str(status)]]
        return Failure(f"{known.what} ({named}, HTTP status {status})", known.remedy)
    said = without_secrets(message, secrets())
    return Failure(f"it answered {named or 'nothing that is known'} (HTTP status {status}): {said}", CHECK)


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """One short line; what is secret, or may sign a request, is left out."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "…")
    return _printable(_SIGNED.sub("…", text))[:200]


def _response(error: Exception) -> dict[str, Any]:
    response = getattr(error, "response", None)
    return response if isinstance(response, dict) else {}


def _raised(error: Exception) -> Failure:
    for kind in type(error).__mro__:
        if known := _RAISED.get(kind.__name__):
            return known
    if is_lost(error):
        return NO_S3
    return Failure(f"boto3 could not ask ({type(error).__name__})", CHECK)


def _right_region(response: dict[str, Any]) -> str:
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = str(response["Error"].get("Region") or headers.get("x-amz-bucket-region", ""))
    return f", the right one is {region}" if re.fullmatch(r"[a-z]{2,8}(-[a-z]{2,12}){1,4}-\d", region) else ""


def _printable(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
