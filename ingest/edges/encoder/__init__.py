"""A mapping applied to a table, and the table's rows written as JSON events."""

from ingest.edges.encoder.encode import Encoded, Encoder, Mapped
from ingest.edges.encoder.uuids import keyed_series, uuid_series

__all__ = ["Encoded", "Encoder", "Mapped", "keyed_series", "uuid_series"]
