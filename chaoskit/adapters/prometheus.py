"""The Metrics port on a real Prometheus.

prometheus-api-client holds the connection (session, credentials, certificates) and reads the targets. Queries are sent
here: the client puts a POST's query into the URL, drops the warnings that say an answer is partial, rounds times to
seconds and has no time limit of its own. Nothing is raised for a Prometheus that does not answer; the answer says why.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

from chaoskit.adapters.urls import is_loopback, shown_url
from chaoskit.errors import PortError, UsageError
from chaoskit.model import Answer, Series
from chaoskit.units import duration

if TYPE_CHECKING:
    import requests

    from chaoskit.adapters.kube import KubeCluster

CONNECT_S, READ_S = 3.0, 5.0
DEFAULT_SCRAPE_S = 15.0
"""Prometheus' usual setting, where the server does not tell its own."""
OUR_JOBS = ("pods", "cadvisor", "kube-state-metrics")
"""The scrape jobs on which verdicts rest."""
MENDED = "monotonicity"
"""In an info, beside the warnings: buckets contradicted each other, and the quantile of the mended ones may be off."""
_BODY_SHOWN = 200
_REFUSED = "Prometheus refuses the credentials"


class Transport(Protocol):
    """One way to a Prometheus."""

    @property
    def shown(self) -> str:
        """Where it leads, as it may be printed."""

    def send(self, path: str, form: Mapping[str, str]) -> tuple[int, str, bytes]:
        """Status, content type and body. Raises PortError when there is no answer."""


class PrometheusMetrics:
    """The real Metrics."""

    def __init__(
        self,
        url: str | Transport,
        *,
        headers: Mapping[str, str] | None = None,
        token: str = "",
        verify: bool | str = True,
        timeout_s: float = READ_S,
    ) -> None:
        """`url` may have a path (`https://host/prometheus`) and `user:password@`; `verify` may be a CA file.
        Raises UsageError for what is no URL."""
        if isinstance(url, str):
            authorization = {"Authorization": f"Bearer {token}"} if token else {}
            url = _Direct(url, {**(headers or {}), **authorization}, verify, timeout_s)
        self._transport: Transport = url
        self._timeout_s = timeout_s
        self._scrape_s: float | None = None

    @classmethod
    def through(cls, cluster: KubeCluster, namespace: str, service: str) -> PrometheusMetrics:
        """By way of the API server's proxy to a Service, written `name:port`: needs no address of its own, but the
        right to get services/proxy."""
        return cls(_Proxied(cluster, namespace, service))

    @property
    def shown(self) -> str:
        """The address as it may be printed."""
        return self._transport.shown

    def instant(self, query: str, at_unix: float) -> Answer:
        return self._ask("query", query, {"time": _time(at_unix)})

    def range(self, query: str, start_unix: float, end_unix: float, step_s: float) -> Answer:
        times = {"start": _time(start_unix), "end": _time(end_unix), "step": _time(step_s)}
        return self._ask("query_range", query, times)

    def trouble(self) -> str:
        """Why it cannot be asked, or empty: one trivial query."""
        return self._ask("query", "vector(1)", {}).error

    def clock_unix(self) -> float:
        """Its own time, to the millisecond. Raises PortError."""
        answer = self._ask("query", "time()", {})
        if answer.error:
            raise PortError("Prometheus does not tell its time", where=self.shown, why=answer.error)
        return answer.series[0].points[0][1]

    def scrape_interval(self) -> float:
        if self._scrape_s is None:
            self._scrape_s = self._configured_interval()
        return DEFAULT_SCRAPE_S if self._scrape_s is None else self._scrape_s

    def _ask(self, endpoint: str, query: str, form: Mapping[str, str]) -> Answer:
        limits = {"query": query, "timeout": f"{self._timeout_s:g}s"}
        try:
            data, warnings = self._data(endpoint, {**limits, **form})
            series, omitted = _series(data)
        except PortError as error:
            return Answer(query, (), error=_one_line(error))
        return Answer(query, series, (*warnings, *omitted))

    def _data(self, endpoint: str, form: Mapping[str, str]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        """`data` and the warnings of an answer of the HTTP API. Raises PortError for every other answer."""
        status, content_type, body = self._transport.send(f"api/v1/{endpoint}", form)
        answer = _object(body)
        if answer.get("status") == "error":
            raise PortError(f"{answer.get('errorType', 'error')}: {answer.get('error', '')}")
        if status in (401, 403):
            raise PortError(_REFUSED, where=self.shown, why=f"HTTP {status}")
        if status != 200 or answer.get("status") != "success":
            raise self._no_prometheus(status, content_type, body)
        data = answer.get("data")
        mended = [info for info in _texts(answer.get("infos")) if MENDED in info]
        return (data if isinstance(data, dict) else {}), (*_texts(answer.get("warnings")), *mended)

    def _no_prometheus(self, status: int, content_type: str, body: bytes) -> PortError:
        if status >= 500:
            return PortError("Prometheus fails", where=self.shown, why=f"HTTP {status}: {_excerpt(body)}")
        return PortError(
            "this is not the address of a Prometheus",
            where=self.shown,
            why=f"api/v1/query is answered with HTTP {status} and {content_type or 'no content type'}",
            fix="give the URL under which api/v1/query is found",
        )

    def _configured_interval(self) -> float | None:
        """The longest interval of our jobs, else the global one, by the configuration as loaded (which spells out each
        job's interval); None where the server does not show it (Thanos, Mimir)."""
        try:
            data, _ = self._data("status/config", {})
        except PortError:
            return None
        return interval_in(str(data.get("yaml") or ""))


class NoMetrics:
    """Where no Prometheus is named. An experiment that asks one is refused before its run begins."""

    def instant(self, query: str, at_unix: float) -> Answer:
        return Answer(query, (), error="no Prometheus is named; give --prometheus URL")

    def range(self, query: str, start_unix: float, end_unix: float, step_s: float) -> Answer:
        return self.instant(query, end_unix)

    def scrape_interval(self) -> float:
        return DEFAULT_SCRAPE_S


class _Direct:
    """HTTP from here."""

    def __init__(self, url: str, headers: Mapping[str, str], verify: bool | str, timeout_s: float) -> None:
        import requests
        from prometheus_api_client import PrometheusConnect
        from urllib3.util import Retry

        self._shown = shown_url(url)
        clean, credentials = _apart(url)
        self._url = clean.rstrip("/")
        self._timeouts = (CONNECT_S, timeout_s)
        self._get_only = False
        self._verify = verify
        session = requests.Session()
        session.auth = credentials
        session.headers.update(headers)
        self._session: requests.Session = session
        self._connection = PrometheusConnect(self._url, session=session, retry=Retry(0), timeout=self._timeouts)

    @property
    def shown(self) -> str:
        return self._shown

    def send(self, path: str, form: Mapping[str, str]) -> tuple[int, str, bytes]:
        """Queries by POST, for they may be long; by GET where a proxy refuses POST. Without a form it is a page."""
        try:
            if form and not self._get_only:
                response = self._request("POST", path, data=form)
                if response.status_code != 405:
                    return _parts(response)
                self._get_only = True
            return _parts(self._request("GET", path, params=form))
        except OSError as error:  # All errors of requests are, and that of a CA file that is not there.
            raise PortError("Prometheus does not answer", where=self._shown, why=_cause(error)) from error

    def _request(self, method: str, path: str, **what: Mapping[str, str]) -> requests.Response:
        # A session's own `verify` gives way to REQUESTS_CA_BUNDLE; the argument does not.
        settings: Any = {"timeout": self._timeouts, "verify": self._verify, **what}
        if is_loopback(self._url):
            settings["proxies"] = {"no_proxy": urlsplit(self._url).hostname}
        return self._session.request(method, f"{self._url}/{path}", **settings)


class _Proxied:
    """Through the API server."""

    def __init__(self, cluster: KubeCluster, namespace: str, service: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._service = service

    @property
    def shown(self) -> str:
        return f"service/{self._service} in {self._namespace}"

    def send(self, path: str, form: Mapping[str, str]) -> tuple[int, str, bytes]:
        return self._cluster.through_service(self._namespace, self._service, path, form)


def interval_in(configuration: str) -> float | None:
    """The longest scrape interval of our jobs in a configuration of Prometheus, else the global one, else None."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        loaded = yaml.load(configuration, Loader=loader)  # noqa: S506  A safe loader; the C one, for these are long.
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return None
    if not isinstance(loaded, dict):
        return None
    jobs = loaded.get("scrape_configs")
    ours = [j for j in jobs if isinstance(j, dict) and j.get("job_name") in OUR_JOBS] if isinstance(jobs, list) else []
    return max(_intervals(ours) or _intervals([loaded.get("global")]), default=None)


def _intervals(settings: Iterable[object]) -> list[float]:
    """Those that are times; a server of another make may say anything there."""
    found = []
    for each in settings:
        if isinstance(each, dict) and isinstance(each.get("scrape_interval"), str):
            with suppress(ValueError):
                found.append(duration(each["scrape_interval"]))
    return [interval for interval in found if interval > 0]


def _apart(url: str) -> tuple[str, tuple[str, str] | None]:
    """The URL without its credentials, and those."""
    try:
        parts = urlsplit(url.strip())
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise UsageError(f"{shown_url(url)!r} is no URL", why=str(error)) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"{shown_url(url)!r} is no URL of a Prometheus",
            fix="write it as in http://127.0.0.1:9090 or https://host/prometheus",
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    clean = urlunsplit((parts.scheme, f"{host}{port}", parts.path, "", ""))
    if parts.username is None:
        return clean, None
    return clean, (unquote(parts.username), unquote(parts.password or ""))


def _time(seconds: float) -> str:
    """To the millisecond, which is Prometheus' own resolution."""
    return f"{seconds:.3f}"


def _parts(response: requests.Response) -> tuple[int, str, bytes]:
    return response.status_code, str(response.headers.get("Content-Type", "")), response.content


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _series(data: Mapping[str, Any]) -> tuple[tuple[Series, ...], tuple[str, ...]]:
    """The series in an answer's data, and a warning where samples had to be left out."""
    result, kind = data.get("result"), data.get("resultType")
    try:
        if kind == "scalar":
            return (Series({}, (_point(result),)),), ()
        if kind == "vector":
            read = [(r["metric"], [r["value"]] if "value" in r else []) for r in result or ()]
        elif kind == "matrix":
            read = [(r["metric"], r.get("values") or []) for r in result or ()]
        else:
            raise PortError(f"the query gives a {kind or 'nothing'}, not numbers")
        series = tuple(Series(_labels(metric), tuple(map(_point, points))) for metric, points in read)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise PortError("Prometheus' answer cannot be read", why=f"{type(error).__name__}: {error}") from error
    histograms = any("histogram" in r or "histograms" in r for r in result or ())
    omitted = ("native histograms are left out: ask for a number, as with histogram_quantile()",) if histograms else ()
    return tuple(s for s in series if s.points), omitted


def _labels(metric: Any) -> dict[str, str]:  # noqa: ANN401  Parsed JSON.
    return {str(name): str(value) for name, value in dict(metric).items()}


def _point(pair: Any) -> tuple[float, float]:  # noqa: ANN401  Parsed JSON.
    """Time and value; Prometheus writes values as text, among them NaN, +Inf and -Inf."""
    time, value = pair
    return float(time), float(value)


def _texts(found: object) -> tuple[str, ...]:
    """A list of texts, whatever stands in its place."""
    return tuple(map(str, found)) if isinstance(found, list) else (str(found),) if found else ()


def _excerpt(body: bytes) -> str:
    return " ".join(body[:_BODY_SHOWN].decode("utf-8", "replace").split())


def _one_line(error: PortError) -> str:
    text = f"{error.what} at {error.where}" if error.where else error.what
    text += f": {error.why}" if error.why else ""
    return f"{text}; {error.fix}" if error.fix else text


def _cause(error: BaseException) -> str:
    """The innermost cause, without the address, which may hold a password."""
    from chaoskit.adapters.apiserver import reason

    return shown_url(reason(error))
