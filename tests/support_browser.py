"""A headless Chromium with one page of the console in it, for tests and for pictures of the page."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=user-gesture-required",
]


def chromium() -> str:
    """Where Chromium is; skips the test, or in CI fails it, when it is not installed."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        message = "needs Chromium: apt-get install chromium fonts-noto-cjk"
        if os.environ.get("SHOUWANG_CI") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return found


@contextlib.asynccontextmanager
async def browser_page(url: str, *, width: int = 1280, height: int = 800) -> AsyncIterator[Page]:
    """A page of this size at ``url``; an error in its scripts fails the test."""
    errors: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            context = await browser.new_context(viewport={"width": width, "height": height}, locale="zh-CN")
            page = await context.new_page()
            page.set_default_timeout(5000)
            page.on("pageerror", lambda error: errors.append(str(error)))
            await page.goto(url)
            yield page
        finally:
            await browser.close()
    assert not errors, errors


async def log_in(page: Page, name: str, password: str) -> None:
    """Fill in the log-in form and wait for a fresh duty screen."""
    await page.fill("#entry [name=name]", name)
    await page.fill("#entry [name=password]", password)
    await page.click("#entry-go")
    await page.wait_for_selector("body[data-fresh=fresh] #console")


async def picture(page: Page, path: Path, *, whole: bool = False) -> None:
    """A PNG of what the page shows; ``whole`` takes what is below the fold too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=path, full_page=whole)
