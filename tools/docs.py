"""The pages of the documentation site that follow from other files of this repository: a hook of mkdocs.yml."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def pages() -> dict[str, str]:
    """By place in the site: the Markdown of each page."""
    return {}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    return files
