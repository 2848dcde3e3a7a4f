"""The command line. Each command is a few lines here and a module beside this one.

Exit status: 0 done, 1 it failed, 2 wrong usage or wrong configuration. Errors are one plain sentence on standard error.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine
from importlib import metadata
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

dashboards = typer.Typer(help="Grafana's dashboards: push, export.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(dashboards, name="dashboards")
meter = typer.Typer(
    help="Meters: exchanges, readings and bills told by hand; journal and intervals.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(meter, name="meter")
refused = typer.Typer(help="What the store refused: list, retry.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(refused, name="refused")
alerts = typer.Typer(help="Alerts: list, show, answer, explain.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(alerts, name="alerts")

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
            terminal.note("stopped")
            raise typer.Exit(130) from None

    return run


def wait_for(work: Coroutine[Any, Any, R]) -> R:
    """Run ``work`` to its end; Ctrl-C cancels it, lets it close what it opened, and surfaces as KeyboardInterrupt."""
    return asyncio.run(work)


def tell_version(wanted: bool) -> None:
    """``--version``: which version is installed, and no more."""
    if wanted:
        terminal.say(metadata.version("greenwarden"))
        raise typer.Exit


@app.callback()
def prepare(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on standard error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=tell_version, is_eager=True, help="Tell the version and end.")
    ] = False,
) -> None:
    """Greenwarden 绿哨: collect the meters of a building and tell who is wasting what."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for noisy in ("pymodbus", "amqtt", "transitions", "urllib3", "matplotlib"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


@app.command()
@guarded
def check(site: SiteFile = DEFAULT_SITE, json: Json = False) -> None:
    """Check the site file, and show what would be polled, when, in how many requests."""
    from building.clock import SystemClock
    from greenwarden.checking import check_site

    check_site(site, as_json=json, now=SystemClock().now())


@app.command()
@guarded
def run(
    site: SiteFile = DEFAULT_SITE,
    shadow: Annotated[
        Path | None, typer.Option("--shadow", help="A file with rules: to try silently; see: alerts shadow.")
    ] = None,
) -> None:
    """Collect, store, judge and notify, until stopped."""
    from greenwarden.running import run_site

    wait_for(run_site(site, shadow))


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
def decode(
    profile: Annotated[
        str, typer.Argument(help="Name of a profile, such as eastron_sdm120; mbus for M-Bus frames and telegrams.")
    ] = "",
    file: Annotated[
        Path | None, typer.Argument(help="A recording, or lines '4 0x0000: 4366 3334' or 'a/topic {payload}'.")
    ] = None,
    vectors: Annotated[
        Path | None, typer.Option("--vectors", help="Instead: a JSON file of published vectors; says pass or fail.")
    ] = None,
    site: SiteOption = DEFAULT_SITE,
    json: Json = False,
) -> None:
    """Show what a profile makes of bytes in a file; your own profiles lie in profiles/ beside the site file."""
    from greenwarden.decoding import decode_file, decode_vectors
    from greenwarden.door import handed_in, language_of, profiles_folder
    from greenwarden.telegrams import MBUS, decode_telegram

    if vectors is not None and not profile and file is None:
        right = decode_vectors(handed_in(vectors), profiles_folder(site), as_json=json)
    elif vectors is None and profile == MBUS and file is not None:
        right = decode_telegram(handed_in(file), as_json=json, language=language_of(site))
    elif vectors is None and profile and file is not None:
        right = decode_file(profile, handed_in(file), profiles_folder(site), as_json=json, language=language_of(site))
    else:
        raise ConfigError("write either: decode PROFILE FILE, or: decode --vectors FILE.json")
    if not right:
        raise typer.Exit(1)


@app.command()
@guarded
def scan(
    link: Annotated[str, typer.Argument(help="A link of the site file, or an address: rtu:///dev/ttyUSB0, tcp://…")],
    site: SiteOption = DEFAULT_SITE,
    units: Annotated[str, typer.Option(help="Modbus units to try, such as 1-32 or 1,5,11-20.")] = "1-32",
    timeout: Annotated[float, typer.Option(help="Seconds to wait for each answer.", min=0.02, max=30)] = 0.3,
    seconds: Annotated[float, typer.Option(help="Seconds to listen to a broker.", min=1, max=3600)] = 30.0,
    write: Annotated[bool, typer.Option("--write", help="Write pages for devices that describe themselves.")] = False,
    json: Json = False,
) -> None:
    """Find who is there on a bus or broker, and which profile fits; Ctrl-C stops and shows what was found."""
    from greenwarden.scanning import scan as scan_link

    wait_for(scan_link(site, link, units=units, timeout_s=timeout, seconds=seconds, write=write, as_json=json))


@app.command()
@guarded
def doctor(
    only: Annotated[str, typer.Argument(help="One device or link of the site file; all when left out.")] = "",
    site: SiteOption = DEFAULT_SITE,
    rounds: Annotated[int, typer.Option(help="How often each request is made.", min=1, max=1000)] = 5,
    patience: Annotated[float, typer.Option(help="Seconds to wait for a device that speaks by itself.")] = 10.0,
    json: Json = False,
) -> None:
    """Examine every device: answer times, errors by kind, and what to do about them."""
    from greenwarden.doctoring import doctor as examine_all

    if not wait_for(examine_all(site, only or None, rounds=rounds, patience=patience, as_json=json)):
        raise typer.Exit(1)


@app.command()
@guarded
def record(
    device: Annotated[str, typer.Argument(help="Id of a device in the site file.")],
    site: SiteOption = DEFAULT_SITE,
    target: Annotated[Path | None, typer.Option("--to", help="The file to write.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a device that speaks by itself (MQTT).")] = 30.0,
) -> None:
    """Write down what a device says, as a recording for the tests; serial numbers are masked."""
    from greenwarden.recording import record as record_device

    wait_for(record_device(site, device, target, timeout_s=timeout))


@app.command()
@guarded
def replay(
    site: SiteFile = DEFAULT_SITE,
    readings: Annotated[
        Path | None,
        typer.Option("--readings", help="CSV, CSV.gz or Parquet: time, device, quantity, value. Else: the store."),
    ] = None,
    alerts: Annotated[Path | None, typer.Option("--alerts", help="Write one JSON line per alert to this file.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Readings from here on: 2026-07-01, or with a time.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Readings before this date or time.")] = None,
    rules: Annotated[
        Path | None, typer.Option("--rules", help="A file with another rules: section; shows the difference.")
    ] = None,
    shadow: Annotated[
        Path | None, typer.Option("--shadow", help="A file with rules: to run silently beside; shows what they say.")
    ] = None,
    json: Json = False,
) -> None:
    """What would the rules have said about these readings, and what did it cost?"""
    from greenwarden.replaying import Asked, replay_site

    replay_site(site, Asked(readings, alerts, start, end, rules, shadow), as_json=json)


@app.command()
@guarded
def report(
    site: SiteOption = DEFAULT_SITE,
    month: Annotated[str | None, typer.Option(help="A month such as 2026-06; the last whole one by default.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="Instead of a month: the first day, 2026-06-01.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="The first day left out; today by default.")] = None,
    department: Annotated[str | None, typer.Option(help="Only this department, by its id.")] = None,
    language: Annotated[str | None, typer.Option(help="zh or en; as the site says by default.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write a page (.html) that a browser shows and prints.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Another data folder than the site's: of a rehearsal, or a backup.")
    ] = None,
    json: Json = False,
) -> None:
    """What was used and wasted in a month, what it cost, and how well it is known."""
    from building.clock import SystemClock
    from greenwarden.reporting import Asked, report_site

    asked = Asked(month, start, end, department, language, out, data)
    report_site(site, asked, SystemClock(), as_json_object=json)


@app.command()
@guarded
def why(
    rule: Annotated[str, typer.Argument(help="A rule, e.g. lights_left_on.")],
    place: Annotated[str, typer.Argument(help="Id of a device or zone.", metavar="ZONE|DEVICE")],
    at: Annotated[str | None, typer.Option("--at", help="A moment such as 2026-07-01T18:20; now by default.")] = None,
    readings: Annotated[
        Path | None, typer.Option("--readings", help="A file as for replay; the store by default.")
    ] = None,
    site: SiteOption = DEFAULT_SITE,
    json: Json = False,
) -> None:
    """Why a rule speaks or is silent: every condition, its inputs with age and quality, what is missing."""
    from greenwarden.explaining import why_site

    why_site(site, rule, place, at, readings, json=json)


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


@dashboards.command()
@guarded
def push(
    url: Annotated[str, typer.Option(envvar="GREENWARDEN_GRAFANA_URL", help="Grafana, e.g. http://10.1.0.9:3000")],
    token: Annotated[
        str,
        typer.Option(
            envvar="GREENWARDEN_GRAFANA_TOKEN",
            help="Token of a service account with the role Admin; better in the environment than on the command line.",
        ),
    ],
    site: SiteOption = DEFAULT_SITE,
    language: Annotated[str | None, typer.Option(help="zh or en; as the site says by default.")] = None,
    folder: Annotated[str | None, typer.Option(help="Name of Grafana's folder.")] = None,
    influx_url: Annotated[
        str | None, typer.Option(help="InfluxDB as Grafana reaches it, where that is not as the site file says.")
    ] = None,
    replace_edited: Annotated[
        bool, typer.Option("--replace-edited", help="Also replace dashboards that somebody changed by hand.")
    ] = False,
    json: Json = False,
) -> None:
    """Bring dashboards and data source into a running Grafana; what is there already stays as it is."""
    from greenwarden.dashboarding import push_dashboards

    push_dashboards(
        site,
        url,
        token,
        language=language,
        folder=folder,
        influx_url=influx_url,
        replace_edited=replace_edited,
        as_json=json,
    )


@dashboards.command()
@guarded
def export(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; it is made when it is missing.")],
    site: Annotated[
        Path | None, typer.Option("--site", "-s", help="Site file, for its names, currency and time zone.")
    ] = None,
    json: Json = False,
) -> None:
    """Write the dashboards and Grafana's provisioning as files."""
    from greenwarden.dashboarding import export_dashboards

    export_dashboards(folder, site, as_json=json)


@app.command()
@guarded
def status(site: SiteFile = DEFAULT_SITE, json: Json = False) -> None:
    """What waits for the store, how long the queue holds out, and when it will have caught up."""
    from building.clock import SystemClock
    from greenwarden.status import show_status

    show_status(site, as_json=json, now=SystemClock().now())


@refused.command(name="list")
@guarded
def list_refused(site: SiteOption = DEFAULT_SITE, json: Json = False) -> None:
    """How much the store refused for good, and why."""
    from greenwarden import status as storing

    storing.list_refused(site, as_json=json)


@refused.command()
@guarded
def retry(site: SiteOption = DEFAULT_SITE) -> None:
    """Send what was refused again, once its cause is mended."""
    from greenwarden.status import retry_refused

    retry_refused(site)


@app.command(name="export")
@guarded
def export_stored(
    target: Annotated[Path, typer.Argument(help="The file to write: .csv, .csv.gz or .parquet.")],
    site: SiteOption = DEFAULT_SITE,
    device: Annotated[str | None, typer.Option(help="Only this device.")] = None,
    quantity: Annotated[str | None, typer.Option(help="Only this quantity, such as energy_import.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="From here on: 2026-07-01, or with a time.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Before this date or time.")] = None,
) -> None:
    """Write readings of the store to a file that replay, spreadsheets and pandas read."""
    from greenwarden.exporting import export_readings

    export_readings(site, target, device, quantity, start, end)


MeterId = Annotated[str, typer.Argument(help="Id of a meter in the site file.")]
AnyMeter = Annotated[str | None, typer.Argument(help="Id of a meter; all when left out.")]
When = Annotated[str | None, typer.Option("--at", help="When, such as 2026-07-01T18:20; now when left out.")]


@meter.command()
@guarded
def exchange(
    device: MeterId,
    old: Annotated[float, typer.Option("--old", help="What the old meter showed at last, in kWh or m3.")],
    new: Annotated[float, typer.Option("--new", help="What the new meter showed at first.")],
    at: When = None,
    site: SiteOption = DEFAULT_SITE,
) -> None:
    """A meter was exchanged: what it booked is put right, also afterwards."""
    from greenwarden import metering

    metering.exchange(site, device, old, new, at)


@meter.command()
@guarded
def reading(
    device: MeterId,
    value: Annotated[float, typer.Argument(help="What stands on the meter, in kWh or m3.")],
    at: When = None,
    site: SiteOption = DEFAULT_SITE,
) -> None:
    """Tell what stands on a meter that nobody polls."""
    from greenwarden import metering

    metering.reading(site, device, value, at)


@meter.command(name="import")
@guarded
def import_readings(
    file: Annotated[Path, typer.Argument(help="CSV: device,time,value (readings) or device,from,to,amount (bills).")],
    site: SiteOption = DEFAULT_SITE,
) -> None:
    """Tell readings or bills for water, gas, petrol or district heat out of a file."""
    from greenwarden import metering

    metering.read_in(site, file)


@meter.command()
@guarded
def anew(device: AnyMeter = None, site: SiteOption = DEFAULT_SITE) -> None:
    """Have intervals computed again from the first reading on; the result is the same."""
    from greenwarden import metering

    metering.compute_anew(site, device)


@meter.command()
@guarded
def journal(device: AnyMeter = None, site: SiteOption = DEFAULT_SITE, json: Json = False) -> None:
    """What happened to counters: wrap, reset, exchange, step back, spike, with before and after."""
    from greenwarden import metering

    metering.show_journal(site, device, as_json=json)


@meter.command(name="intervals")
@guarded
def list_intervals(
    ident: Annotated[str | None, typer.Argument(help="Id of the device, zone, department or circuit.")] = None,
    scope: Annotated[str, typer.Option("--of", help="device, zone, department, circuit or site.")] = "site",
    period: Annotated[str, typer.Option("--every", help="15m, 1h, 1d or 1mo.")] = "1h",
    start: Annotated[str | None, typer.Option("--from", help="From here on; a day back when left out.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Before this; until now when left out.")] = None,
    site: SiteOption = DEFAULT_SITE,
    json: Json = False,
) -> None:
    """Energy and volume per interval, each measured, settled, estimated or missing."""
    from greenwarden import metering

    metering.show_intervals(site, period, scope, ident, start, end, as_json=json)


@app.command(name="backup")
@guarded
def back_up(
    target: Annotated[Path, typer.Argument(help="The file to write, e.g. greenwarden-2026-07-01.tar.gz.")],
    site: SiteOption = DEFAULT_SITE,
) -> None:
    """Copy queue, store and memory into one file, while the program runs."""
    from greenwarden.backup import backup
    from greenwarden.door import data_folder, open_site

    opened = open_site(site)
    files = backup(data_folder(site, opened), target)
    if opened.site.language == "zh":
        terminal.say(f"{target}：已备份 {files} 个文件")
    else:
        terminal.say(f"{target}: {files} file{'' if files == 1 else 's'}")


@app.command(name="restore")
@guarded
def bring_back(
    source: Annotated[Path, typer.Argument(help="A file made by backup.")],
    site: SiteOption = DEFAULT_SITE,
) -> None:
    """Put a backup in place of the data folder; what is there is moved aside."""
    from greenwarden.backup import restore
    from greenwarden.door import data_folder, handed_in, open_site

    opened = open_site(site)
    folder = data_folder(site, opened)
    aside = restore(handed_in(source), folder)
    if opened.site.language == "zh":
        terminal.say(f"{folder} 已恢复为 {source.name} 的内容" + (f"；原有内容移至 {aside}" if aside else ""))
        return
    terminal.say(f"{folder} is as it was in {source.name}" + (f"; what was there is in {aside}" if aside else ""))


AlertId = Annotated[str, typer.Argument(help="Id of an alert, or its beginning.")]
Name = Annotated[str | None, typer.Option("--by", help="Who you are; else the name of your login.")]


@alerts.command(name="list")
@guarded
def list_alerts(
    site: SiteOption = DEFAULT_SITE,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    json: Json = False,
) -> None:
    """Open alerts and what is pending."""
    from greenwarden import alerting

    alerting.list_alerts(site, everything=everything, as_json=json)


@alerts.command()
@guarded
def show(alert: AlertId, site: SiteOption = DEFAULT_SITE, json: Json = False) -> None:
    """One alert, what happened to it, and who was told."""
    from greenwarden import alerting

    alerting.show_alert(site, alert, as_json=json)


@alerts.command()
@guarded
def explain(alert: AlertId, site: SiteOption = DEFAULT_SITE, json: Json = False) -> None:
    """Why each message was sent or held back, and when the next one is due."""
    from greenwarden import alerting

    alerting.explain(site, alert, as_json=json)


@alerts.command()
@guarded
def ack(
    alert: AlertId,
    reason: Annotated[
        str, typer.Option("--reason", help="fixed, on_purpose, false_alarm or needs_work_order.")
    ] = "fixed",
    why: Annotated[str, typer.Option("--why", help="A remark.")] = "",
    by: Name = None,
    site: SiteOption = DEFAULT_SITE,
) -> None:
    """Acknowledge: somebody has taken it on; nobody further is told."""
    from greenwarden import alerting

    alerting.answer(site, "acknowledge", alert, by=by, reason=reason, why=why)


@alerts.command()
@guarded
def silence(
    alert: Annotated[str | None, typer.Argument(help="Id of an alert; else give a rule, zone, device …")] = None,
    lasts: Annotated[str, typer.Option("--for", help="How long, such as 2h or 3d.")] = "12h",
    why: Annotated[str, typer.Option("--why", help="Why; it is kept.")] = "",
    rule: Annotated[str | None, typer.Option(help="All alerts of this rule.")] = None,
    zone: Annotated[str | None, typer.Option(help="All alerts of this zone.")] = None,
    device: Annotated[str | None, typer.Option(help="All alerts of this device.")] = None,
    department: Annotated[str | None, typer.Option(help="All alerts of this department.")] = None,
    end: Annotated[bool, typer.Option("--end", help="End a silence now.")] = False,
    by: Name = None,
    site: SiteOption = DEFAULT_SITE,
) -> None:
    """No messages of an alert, or of all that fit, for a while."""
    from greenwarden import alerting

    asked = {"rule": rule, "zone": zone, "device": device, "department": department}
    fitting = {key: value for key, value in asked.items() if value is not None}
    action, span = ("release", None) if end else ("silence", lasts)
    alerting.answer(site, action, alert, by=by, why=why, lasts=span, fitting=fitting)


@alerts.command()
@guarded
def shadow(
    site: SiteOption = DEFAULT_SITE,
    days: Annotated[float, typer.Option(help="How far back.", min=0, max=4000)] = 7.0,
    json: Json = False,
) -> None:
    """What the rules on trial (run --shadow) would have said."""
    from greenwarden import alerting

    alerting.show_shadow(site, days=days, as_json=json)


@alerts.command()
@guarded
def history(
    site: SiteOption = DEFAULT_SITE,
    days: Annotated[float, typer.Option(help="How far back.", min=0, max=4000)] = 7.0,
    json: Json = False,
) -> None:
    """Every change of every alert, with its time and the person who made it."""
    from greenwarden import alerting

    alerting.history(site, days=days, as_json=json)


@alerts.command(name="proposals")
@guarded
def show_proposals(site: SiteOption = DEFAULT_SITE, json: Json = False) -> None:
    """Changes of parameters that the "false alarm" answers speak for."""
    from greenwarden import alerting

    alerting.propose(site, as_json=json)


@app.command(name="notify-test")
@guarded
def notify_test(
    channel: Annotated[str, typer.Argument(help="Name of a channel in the site file.")],
    site: SiteOption = DEFAULT_SITE,
    json: Json = False,
) -> None:
    """Send one test message through a channel, and show what the service answered."""
    from greenwarden import alerting

    wait_for(alerting.try_channel(site, channel, as_json=json))


@app.command()
@guarded
def simulate(
    site: SiteFile = DEFAULT_SITE,
    days: Annotated[float | None, typer.Option(help="How long; without it, until stopped.", min=0.01, max=4000)] = None,
    faults: Annotated[str, typer.Option(help="none, standard, or a scenario file (.yaml).")] = "none",
    seed: Annotated[int, typer.Option(help="Same seed, same building.")] = 1,
    start: Annotated[str | None, typer.Option(help="First day (or moment) of the building's time.")] = None,
    direct: Annotated[bool, typer.Option("--direct", help="Straight into the rules, without sockets.")] = False,
    score: Annotated[bool, typer.Option("--score", help="Hold alerts and readings against the truth.")] = False,
    speed: Annotated[float | None, typer.Option(help="Building seconds in a real one.", min=0.1, max=5000)] = None,
    truth: Annotated[Path | None, typer.Option(help="Write what was really so into this folder.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw a day into this PNG.")] = None,
    port: Annotated[int, typer.Option(help="First port to listen on; 0 for any.", min=0, max=65000)] = 0,
    keep: Annotated[
        Path | None, typer.Option(help="With --direct: keep readings, intervals and alerts in this folder, for report.")
    ] = None,
    json: Json = False,
) -> None:
    """A simulated building with exactly the devices of the site file, on loopback, with faults on purpose."""
    from greenwarden.simulating import Wish
    from greenwarden.simulating import simulate as play

    wish = Wish(site, days, faults, seed, start, direct, score, speed, truth, plot, port, json, keep)
    if not wait_for(play(wish)):
        raise typer.Exit(1)


def main() -> None:
    """Entry point of the console script."""
    app()
