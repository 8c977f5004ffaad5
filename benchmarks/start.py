"""How long a process waits for its kernels: `python -m benchmarks.start` prints it as JSON."""

from __future__ import annotations

import json
import time

from ifd.params import WindowParams
from ifd.windows.stage import WindowStage


def main() -> None:
    """Make a stage and print how long it took."""
    begun = time.process_time()
    WindowStage(WindowParams())
    print(json.dumps({"seconds": time.process_time() - begun}))


if __name__ == "__main__":
    main()
