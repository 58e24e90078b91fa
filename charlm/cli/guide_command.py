"""charlm guide: a page for each subject. A page is a Markdown file in charlm/guide."""

from pathlib import Path
from typing import Any

import click

from ..errors import ConfigurationError, perhaps
from .command import Command

GUIDE = Path(__file__).parent.parent / "guide"


def pages() -> dict[str, Path]:
    """Return the file of each page, by name."""
    return {path.stem: path for path in sorted(GUIDE.glob("*.md"))}


def title(page: Path) -> str:
    """Return a page's title, which is its first line."""
    with page.open(encoding="utf-8") as file:
        return file.readline().removeprefix("# ").rstrip("\n")


def complete_page(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Return the names of pages that begin like an incomplete word, for shell completion."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(name, help=title(path)) for name, path in pages().items() if name.startswith(incomplete)]


@click.command("guide", cls=Command)
@click.argument("page", required=False, shell_complete=complete_page)
def command(page: str | None) -> None:
    """Show a page of the guide, or list its pages.

    A terminal shows the page in a pager ($PAGER); a pipe gets plain Markdown.

    \b
    Examples:
      charlm guide
      charlm guide truncation
    """
    known = pages()
    if page is None:
        width = max(map(len, known))
        for name, path in known.items():
            click.echo(f"{name:<{width}}  {title(path)}")
        return
    if page not in known:
        raise ConfigurationError(f"guide: no page {page!r}{perhaps(page, known) or '; charlm guide lists the pages'}")
    click.echo_via_pager(known[page].read_text(encoding="utf-8").rstrip("\n"))
