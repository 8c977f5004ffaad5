from __future__ import annotations

import hashlib
import re

import pytest

from dashboard.app import STATIC

VENDORED = {
    "lightweight-charts.standalone.production.mjs": (
        "1bb1ee79f9d4dd17261b53d930f7a8995748276f80e7ba0e24412b5068062f5f"
    ),
    "ibm-plex-sans-latin-400-normal.woff2": (
        "3b646991d30055a93a4ecc499713d4347953a74a947ecab435ab72070cbdab0e"
    ),
    "ibm-plex-sans-latin-500-normal.woff2": (
        "0717336fb31fcdcde4b8deb3675bb4a0f7f6d484864afcd6751ac29975962203"
    ),
    "ibm-plex-sans-latin-600-normal.woff2": (
        "8960851d691c054ed38e259bdcf1a6190d157b4203ed5bb32c632a863fb8ec2f"
    ),
}


@pytest.mark.parametrize(("name", "sha256"), VENDORED.items())
def test_vendored_files_are_the_published_ones(name: str, sha256: str) -> None:
    assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == sha256


def test_every_vendored_file_has_its_licence() -> None:
    names = {path.name for path in (STATIC / "vendor").iterdir()}

    licences = {"lightweight-charts.LICENSE", "lightweight-charts.NOTICE", "ibm-plex-sans.LICENSE"}
    assert names == set(VENDORED) | licences


def test_the_page_loads_nothing_from_elsewhere_and_runs_nothing_inline() -> None:
    page = (STATIC / "index.html").read_text("utf-8")

    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"<style|\sstyle=|\son\w+=", page)
    loaded = re.findall(r"<(?:script|link|img)[^>]*?\b(?:src|href)=\"([^\"]+)\"", page)
    assert loaded
    assert all(address.startswith("/static/") for address in loaded)


def test_own_scripts_and_styles_name_no_other_site() -> None:
    own = [path for path in STATIC.iterdir() if path.suffix in {".js", ".css"}]

    assert own
    for path in own:
        assert not re.search(r"https?://(?!\$)", path.read_text("utf-8")), path.name


def test_the_notice_the_chart_licence_asks_for_is_on_the_page() -> None:
    page = (STATIC / "index.html").read_text("utf-8")

    assert "TradingView Lightweight Charts™, Copyright (c) 2026 TradingView, Inc." in page
    assert 'href="https://www.tradingview.com/"' in page
