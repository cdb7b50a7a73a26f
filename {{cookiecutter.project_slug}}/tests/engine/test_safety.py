"""Nothing is run that a configuration names and that ALLOWED does not."""

from pathlib import Path

import pytest
import yaml

EVIL = {"class_path": "evil.Run"}


@pytest.mark.parametrize(
    "settings",
    [{"trainer": {"callbacks": [EVIL]}}, {"trainer": {"strategy": EVIL}}, {"trainer": {"logger": EVIL}}],
    ids=str,
)
def test_configuration_imports_nothing_but_what_is_allowed(workplace, monkeypatch, settings, refused):
    (workplace / "evil.py").write_text("open('executed', 'w')\n")
    monkeypatch.syspath_prepend(workplace)
    Path("settings.yaml").write_text(yaml.safe_dump(settings))
    line = refused("fit", "--config", "settings.yaml")
    assert "evil.Run is not among what a configuration may name: see ALLOWED" in line
    assert not Path("executed").exists()
