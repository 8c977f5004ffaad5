"""Checks of data quality with Great Expectations: suites as code, and how they are run.

Importing this package loads Great Expectations, which takes seconds: batch flows and
`ifd quality run` do, nothing that works while the market is open.
"""

from __future__ import annotations

import os
import warnings

# Its older versions sent usage statistics unless told not to before they were imported.
os.environ["GX_ANALYTICS_ENABLED"] = "False"

with warnings.catch_warnings():
    # It imports modules that Python deprecates; every run would log that.
    warnings.simplefilter("ignore", DeprecationWarning)
    import great_expectations  # noqa: F401
