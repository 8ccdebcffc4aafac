"""The command line: `atelier …`."""

from __future__ import annotations

import typer

from app.commands import (
    adapters,
    audit,
    data,
    doctor,
    evaluate,
    guardrails,
    keys,
    processes,
    release,
    serve,
    tailor,
    train,
)

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Tailor-made assistants over one base model."
)
app.add_typer(adapters.app, name="adapters")
app.add_typer(release.app, name="release")
app.add_typer(keys.app, name="keys")
app.add_typer(audit.app, name="audit")
app.add_typer(data.app, name="data")
app.add_typer(guardrails.app, name="guardrails")
processes.add(app)
serve.add(app)
doctor.add(app)
train.add(app)
evaluate.add(app)
tailor.add(app)


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
