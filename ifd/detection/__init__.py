"""IFD v3: from pressure, its history and its doubts to a verdict with reasons."""

from ifd.detection.detector import Detector
from ifd.detection.score import MODEL_VERSION

__all__ = ["MODEL_VERSION", "Detector"]
