"""The format of recordings: what is written is read, and a torn end costs only what was torn."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskit.samples import RECORD, Outcome, Sample, SampleReader, SampleWriter, Stream, read_samples

TIMES = st.floats(allow_nan=False, allow_infinity=False)
SAMPLES = st.lists(
    st.builds(
        Sample,
        intended=TIMES,
        sent=TIMES,
        end=TIMES,
        status=st.integers(0, 999),
        outcome=st.sampled_from(Outcome),
        stream=st.sampled_from(Stream),
        name=st.text(),
        answerer=st.text(),
    )
)


def write(writer: SampleWriter, samples: list[Sample]) -> None:
    for s in samples:
        name, answerer = writer.name(s.name), writer.name(s.answerer)
        writer.write(s.intended, s.sent, s.end, s.status, s.outcome, s.stream, name, answerer)


def record(path: Path, samples: list[Sample]) -> None:
    writer = SampleWriter(path)
    write(writer, samples)
    writer.close()


@given(SAMPLES)
def test_what_is_written_is_read(samples):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pulse"
        record(path, samples)
        assert list(read_samples(path)) == samples


@given(SAMPLES, st.data())
def test_a_torn_end_costs_only_the_torn_record(samples, data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pulse"
        record(path, samples)
        file = path.with_name("pulse.bin")
        kept = data.draw(st.integers(0, file.stat().st_size))
        with file.open("r+b") as torn:
            torn.truncate(kept)
        assert list(read_samples(path)) == samples[: kept // RECORD.size]


@given(SAMPLES, st.data())
def test_names_that_were_lost_do_not_cost_their_records(samples, data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pulse"
        record(path, samples)
        file = path.with_name("pulse.names")
        with file.open("r+b") as torn:
            torn.truncate(data.draw(st.integers(0, file.stat().st_size)))
        read = list(read_samples(path))
        assert [s.intended for s in read] == [s.intended for s in samples]
        assert all(got.name in (was.name, "(lost)") for got, was in zip(read, samples, strict=True))


@given(st.lists(SAMPLES, max_size=4))
def test_a_recording_is_read_while_it_is_written(parts):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pulse"
        reader = SampleReader(path)
        assert reader.read() == []
        writer = SampleWriter(path)
        for part in parts:
            write(writer, part)
            writer.flush()
            assert reader.read() == part
            assert reader.read() == []
        writer.close()


def sample(name: str) -> Sample:
    return Sample(1.0, 1.5, 2.0, 200, Outcome.OK, Stream.LOCUST, name, "")


def test_more_names_than_fit_share_the_last(tmp_path):
    writer = SampleWriter(tmp_path / "locust")
    for n in range(65_534):
        writer.name(f"/{n}")
    write(writer, [sample(f"/{n}") for n in (0, 65_533, 65_534, 65_535, 70_000)])
    writer.close()
    names = [s.name for s in read_samples(tmp_path / "locust")]
    assert names == ["/0", "/65533", "(others)", "(others)", "(others)"]


def test_a_recording_that_is_there_is_not_written_into(tmp_path):
    record(tmp_path / "pulse", [sample("a")])
    with pytest.raises(FileExistsError):
        SampleWriter(tmp_path / "pulse")


def test_no_recording_means_no_samples(tmp_path):
    assert list(read_samples(tmp_path / "pulse")) == []


def test_latency_counts_from_when_it_was_due():
    assert math.isclose(sample("a").latency, 1.0)
