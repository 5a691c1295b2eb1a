"""Judges tables of events by the rules of `schemas/`: every violated rule of every row."""

from ingest.edges.validator.apart import Apart
from ingest.edges.validator.compiler import Kind
from ingest.edges.validator.documents import load_documents
from ingest.edges.validator.explain import Explainer
from ingest.edges.validator.judge import Validator
from ingest.edges.validator.verdict import Verdict

__all__ = ["Apart", "Explainer", "Kind", "Validator", "Verdict", "load_documents"]
