"""Commands of this room: `patron train | tune | evaluate | promote | rollback | ui`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from patron import console
from patron.console import JsonOption
from patron.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer()

MODELS = "recommender, churn, lifetime-value, portrait, replenishment or offers"
ModelArgument = Annotated[str, typer.Argument(help=f"{MODELS}.")]


def quiet_threads() -> None:
    """LightGBM's and OpenBLAS's threads spin when cores are shared; waiting ones leave them to others."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@contextmanager
def steps(title: str) -> Iterator[Callable[[str], None]]:
    """A line of progress that says which step is running."""
    with console.progress() as bar:
        task = bar.add_task(title, total=None)
        yield lambda what: bar.update(task, advance=1, description=f"{title}: {what}")


@app.command()
def train(
    model: Annotated[str, typer.Argument(help=f"{MODELS}; or all.")],
    json: JsonOption = False,
) -> None:
    """Fit, judge on the last window, record in MLflow, pass the gate, promote.

    Ends with exit code 3 when a gate refused; the champion then stays and the run says why.
    """
    quiet_threads()
    from patron.settings import load_settings
    from training.jobs import JOBS, open_job
    from training.run import train as run

    settings = load_settings()
    chosen = list(JOBS) if model == "all" else [model]
    results = []
    for short in chosen:
        with steps(f"Training {short}") as say:
            say("reading the data")
            results.append(run(open_job(settings, short), say))
    document = {"models": results} if model == "all" else results[0]
    console.answer(document, json, lambda _, out: show_results(results, out))
    if any(each["outcome"] == "refused" for each in results):
        raise typer.Exit(3)


def show_results(results: list[dict[str, Any]], out: Console) -> None:
    for result in results:
        out.print(result_table(result))
        out.print(f"{result['model']} version {result['version']}: {result['outcome']}.", style="bold")
        for reason in (*result["gate"], *result["warnings"]):
            out.print(f"  {reason}")
        out.print()


def result_table(result: dict[str, Any]) -> Any:
    """Metrics of the chosen candidate with intervals, beside those of the others."""
    others = list(result["beside"])
    rows = [
        (
            name,
            each["value"],
            f"{console.cell(each['low'])} .. {console.cell(each['high'])}",
            *(result["beside"][other].get(name) for other in others),
        )
        for name, each in result["metrics"].items()
    ]
    columns = ["metric", result["kind"], "95% interval", *others]
    return console.table(f"{result['model']} on the last window", columns, rows)


@app.command()
def tune(
    model: ModelArgument,
    trials: Annotated[int, typer.Option(min=1, help="How many more trials to run.")] = 30,
    write: Annotated[
        bool, typer.Option(help="Put the best parameters into configs/models/, if they beat what is there.")
    ] = False,
    part: Annotated[
        list[str] | None, typer.Option(help="Tune only this part, such as als or ranker; repeatable.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Search hyperparameters on the validation window, part by part; studies go on where they stopped."""
    quiet_threads()
    from patron.settings import load_settings
    from training.tune import tune as search

    with console.progress() as bar:
        task = bar.add_task(f"Tuning {model}: the present configuration", total=trials)
        outcome = search(
            load_settings(),
            model,
            trials,
            write,
            part or (),
            lambda name, best: bar.update(task, advance=1, description=f"Tuning {model}: {name} {best:.4f}"),
        )
    console.answer(outcome, json, show_tuning)


def show_tuning(outcome: dict[str, Any], out: Console) -> None:
    from training.tune import flattened

    columns = ["trials", "pruned", "validation", "validation_default"]
    parts = [(name, *(each[column] for column in columns)) for name, each in outcome["parts"].items()]
    best = list(flattened(outcome["parameters"]).items())
    out.print(console.table("Parts", ["part", "trials", "pruned", "best", "at present"], parts))
    if not best:
        out.print(f"Nothing better than the present configuration: {outcome['validation_default']:.4f}.")
        return
    out.print(console.table("Better parameters", ["name", "value"], best))
    out.print(
        f"Validation of the whole {outcome['validation']:.4f} with them; the present configuration reaches "
        f"{outcome['validation_default']:.4f}. {'Written.' if outcome['written'] else 'Not written.'}"
    )


@app.command()
def evaluate(
    model: ModelArgument,
    version: Annotated[str | None, typer.Option(help="Version to judge. Default: the champion.")] = None,
    against: Annotated[str | None, typer.Option(help="Another version, judged on the same window.")] = None,
    tests: Annotated[
        int,
        typer.Option(min=0, help="Test cutoffs of the backtest (churn and lifetime-value); 0: no backtest."),
    ] = 4,
    horizon: Annotated[
        int | None,
        typer.Option(min=1, help="Backtest over so many days instead; no registered version is judged then."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Judge a registered version on the last window again, beside another one and the baseline.

    For churn and lifetime-value a backtest follows: all candidates and baselines, from several cutoffs on.
    For offers: what policies would have earned, and what the data can and cannot show.
    """
    quiet_threads()
    from patron.settings import load_settings
    from training.evaluate import evaluate as judge
    from training.evaluate import over_horizon
    from training.jobs import open_job
    from training.run import finite

    with steps(f"Evaluating {model}") as say:
        settings = load_settings()
        if horizon is not None:
            outcome = over_horizon(settings, model, horizon, tests or 1, say)
        else:
            say("judging on the last window")
            outcome = judge(open_job(settings, model), version, against, tests, say)
    console.answer(finite(outcome), json, show_evaluation)


def show_evaluation(outcome: dict[str, Any], out: Console) -> None:
    if "metrics" in outcome:
        show_last_window(outcome, out)
    if "evidence" in outcome:
        show_evidence(outcome["evidence"], out)
    for each in outcome.get("backtest", ()):
        show_test(outcome["model"], outcome["primary"], each, out)


def show_evidence(evidence: dict[str, Any], out: Console) -> None:
    """What policies would have earned, and what the data can and cannot show."""
    rows = [
        (
            name,
            spread(each),
            *(spread(each[kind]) for kind in ("ips", "snips")),
            f"{each['effective_samples']:,.0f}",
            "yes" if each["concludes"] else "no",
        )
        for name, each in evidence["values"].items()
    ]
    if rows:
        columns = ["policy", "margin a decision", "IPS", "SNIPS", "effective samples", "conclusive"]
        out.print(console.table("What would have been earned on the last window", columns, rows))
    for title, told in (("These data can show:", "can"), ("They cannot show:", "cannot")):
        if evidence[told]:
            out.print(title, style="bold")
            for sentence in evidence[told]:
                out.print(f"  - {sentence}")
    out.print()


def show_test(model: str, primary: str, test: dict[str, Any], out: Console) -> None:
    """One test of a backtest: metrics of each kind with intervals, then the paired differences."""
    kinds = list(test["metrics"])
    rows = [
        (metric, *(spread(test["metrics"][kind].get(metric)) for kind in kinds))
        for metric in test["metrics"][kinds[0]]
    ]
    title = f"{model} from {test['test_cutoff']} to {test['ends']} ({', '.join(test['months'])})"
    out.print(console.table(title, ["metric", *kinds], rows))
    left = ", ".join(f"{count:,} {status}" for status, count in test["left_out"].items()) or "nobody"
    fit = test["learned"]
    out.print(
        f"{test['customers']:,} customers, left out: {left}. Learned at {fit[0]} .. {fit[-1]} ({len(fit)}); "
        f"before the test {test['chosen']} did best."
    )
    for kind, rivals in test["differences"].items():
        for rival, found in rivals.items():
            out.print(f"  {primary}: {kind} is {signed(found[primary])} against {rival}.")
    out.print()


def spread(each: dict[str, Any] | None) -> str:
    """'0.7421 (0.7201..0.7600)', without the interval where there is none."""
    if each is None or each["value"] is None:
        return "-"
    value = console.cell(each["value"])
    return value if each["low"] is None else f"{value} ({each['low']:.4g}..{each['high']:.4g})"


def signed(gap: dict[str, Any]) -> str:
    """'+0.0120 (+0.0010 to +0.0230)'."""
    if gap["value"] is None:
        return "not comparable"
    return f"{gap['value']:+.4f} ({gap['low']:+.4f} to {gap['high']:+.4f})"


def show_last_window(outcome: dict[str, Any], out: Console) -> None:
    names = list(outcome["metrics"])
    rows = [
        (metric, *(outcome["metrics"][name].get(metric) for name in names))
        for metric in outcome["metrics"][names[0]]
    ]
    out.print(console.table(f"{outcome['model']} on the last window", ["metric", *names], rows))
    for other, gap in outcome["differences"].items():
        out.print(
            f"{outcome['primary']}: {gap['value']:+.4f} ({gap['low']:+.4f} to {gap['high']:+.4f}) "
            f"against {other}."
        )


@app.command()
def promote(
    model: ModelArgument,
    version: Annotated[str, typer.Argument(help="Version in the registry.")],
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")] = "by hand",
    only_keep: Annotated[
        bool, typer.Option("--only-keep", help="Only fetch a copy for experiments; the champion stays.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Make a version champion by hand: verified, installed for serving, audited."""
    from patron.settings import load_settings
    from training.registry import keep_version
    from training.registry import promote as make_champion
    from training.tracking import full_name

    if only_keep:
        console.answer(keep_version(load_settings(), full_name(model), version), json, show_kept)
        return
    console.answer(make_champion(load_settings(), full_name(model), version, reason), json, show_promotion)


@app.command()
def rollback(model: ModelArgument, json: JsonOption = False) -> None:
    """Go back to the champion before the present one."""
    from patron.settings import load_settings
    from training.registry import rollback as go_back
    from training.tracking import full_name

    console.answer(go_back(load_settings(), full_name(model)), json, show_promotion)


def show_kept(entry: dict[str, Any], out: Console) -> None:
    out.print(
        f"{entry['model']}: version {entry['to']} is kept for experiments, {entry['from']} stays champion."
    )


def show_promotion(entry: dict[str, Any], out: Console) -> None:
    out.print(f"{entry['model']}: champion is version {entry['to']} (was {entry['from'] or 'none'}).")


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
    json: JsonOption = False,
) -> None:
    """Open the MLflow UI on this project's store; Ctrl-C ends it. It has no authentication: loopback only."""
    import json as jsonlib
    import socket
    import subprocess
    import sys

    from patron.settings import load_settings
    from training.tracking import client

    settings = load_settings()
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise UsageError(f"Port {port} is in use. Choose another: patron ui --port {port + 1}")
    client(settings)
    url = f"http://127.0.0.1:{port}"
    if json:
        sys.stdout.write(jsonlib.dumps({"url": url}) + "\n")
        sys.stdout.flush()
    else:
        console.note(f"MLflow at {url}. Ctrl-C ends it.")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", settings.tracking_uri, "--workers", "1"]
    command += ["--artifacts-destination", str(settings.mlruns.resolve() / "artifacts")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with subprocess.Popen(command, env=environment) as server:
        try:
            raise typer.Exit(server.wait())
        except KeyboardInterrupt:
            server.terminate()
