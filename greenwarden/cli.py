"""The command line. Each command is a few lines here and a module beside this one.

Exit status: 0 done, 1 it failed, 2 wrong usage or wrong configuration. Errors are one plain sentence on standard error.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from building.errors import ConfigError, GreenwardenError
from greenwarden import terminal

P = ParamSpec("P")
R = TypeVar("R")

app = typer.Typer(
    name="greenwarden",
    help="Greenwarden 绿哨: collect the meters of a building and tell who is wasting what.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

SiteFile = Annotated[Path, typer.Argument(help="The site file.", show_default=True)]
SiteOption = Annotated[Path, typer.Option("--site", "-s", help="The site file.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object for programs instead of tables.")]
DEFAULT_SITE = Path("devices.yaml")


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Turn our own errors into a sentence and an exit status."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except ConfigError as error:
            for problem in error.problems:
                terminal.complain(problem)
            raise typer.Exit(2) from None
        except GreenwardenError as error:
            terminal.complain(str(error))
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            terminal.complain("stopped")
            raise typer.Exit(130) from None

    return run


def wait_for(work: Coroutine[Any, Any, R]) -> R:
    """Run ``work`` to its end; Ctrl-C cancels it, lets it close what it opened, and surfaces as KeyboardInterrupt."""
    return asyncio.run(work)


@app.callback()
def prepare(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on standard error.")] = False,
) -> None:
    """Greenwarden 绿哨: collect the meters of a building and tell who is wasting what."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for noisy in ("pymodbus", "amqtt", "transitions", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


@app.command()
@guarded
def check(site: SiteFile = DEFAULT_SITE, json: Json = False) -> None:
    """Check the site file, and show what would be polled, when, in how many requests."""
    from greenwarden.checking import check_site

    check_site(site, as_json=json)


@app.command()
@guarded
def run(site: SiteFile = DEFAULT_SITE) -> None:
    """Collect, store, judge and notify, until stopped."""
    from greenwarden.running import run_site

    wait_for(run_site(site))


@app.command()
@guarded
def read(
    device: Annotated[str, typer.Argument(help="Id of a device in the site file.")],
    site: SiteOption = DEFAULT_SITE,
    json: Json = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a device that speaks by itself (MQTT).")] = 30.0,
) -> None:
    """Ask one device once and show its values."""
    from greenwarden.reading import read_device

    wait_for(read_device(site, device, as_json=json, timeout_s=timeout))


@app.command()
@guarded
def replay(
    site: Annotated[Path, typer.Argument(help="The site file.")],
    readings: Annotated[
        Path, typer.Option("--readings", help="CSV, CSV.gz or Parquet: time, device, quantity, value.")
    ],
    alerts: Annotated[Path | None, typer.Option("--alerts", help="Write one JSON line per alert to this file.")] = None,
    json: Json = False,
) -> None:
    """What would the rules have said about these readings?"""
    from greenwarden.replaying import replay_file

    replay_file(site, readings, alerts, as_json=json)


@app.command()
@guarded
def demo(
    speed: Annotated[float, typer.Option(help="Seconds of building time in one real second.", min=1, max=5000)] = 480.0,
    hours: Annotated[float, typer.Option(help="Hours of building time.", min=0.1, max=240)] = 24.0,
    seed: Annotated[int, typer.Option(help="Same seed, same building.")] = 1,
    site: Annotated[
        Path | None, typer.Option("--site", "-s", help="A site file of yours, instead of the sample.")
    ] = None,
    json: Json = False,
) -> None:
    """A simulated working day and night, through the whole program."""
    from greenwarden.demo import run_demo

    if not wait_for(run_demo(site, speed=speed, hours=hours, seed=seed, as_json=json)):
        raise typer.Exit(1)


def main() -> None:
    """Entry point of the console script."""
    app()
