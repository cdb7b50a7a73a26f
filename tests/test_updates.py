"""A project that cruft made takes the template's changes, and keeps every line of its user's."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import CHOICES, PROGRAMS, PROJECT, QUESTIONS, ROOT, bake_into, pyproject, run

PARTS = [".gitattributes", "cookiecutter.json", "lit_answers.py", "hooks", "templates", PROJECT.name]
PACKAGE = "src/{{cookiecutter.__package}}"
NETWORK = f"{PROJECT.name}/variants/task/regression/{PACKAGE}/network.py"
MODEL = f"{PROJECT.name}/{PACKAGE}/model.py"
MINE = "# written by the user\n"
THEIRS = "# written for the template\n"
ODD = {"project_name": 'Ada\'s "Best" Model', "description": "{{ 6 * 7 }}, `x` & {% raw %}", "author_name": "Zoë"}
# Neither git nor cookiecutter reads the settings of whoever runs the tests.
SETTINGS = {
    "COOKIECUTTER_CONFIG": os.devnull,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "PYTHONUTF8": "1",
    **{f"GIT_{role}_{key}": "tests" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")},
}

BAKE_EACH = """
import json, pathlib, sys, conftest
for index, answers in enumerate(json.loads(sys.argv[1])):
    conftest.bake_into(pathlib.Path(sys.argv[2], str(index)), **answers)
"""

SAME_WEIGHTS = """
import torch
ends = [torch.load(f"runs/{run}/checkpoints/last.ckpt", weights_only=True) for run in ("untouched", "stopped")]
weights = [end["state_dict"] for end in ends]
print(all(map(torch.equal, *(one.values() for one in weights))))
"""


@pytest.fixture(scope="session")
def first_release(tmp_path_factory):
    """A folder with the template as a repository of one release, and the project that cruft made of it, committed."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "template").mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".*_cache")
            shutil.copytree(ROOT / part, folder / "template" / part, ignore=ignored)
        else:
            shutil.copy(ROOT / part, folder / "template" / part)
    release(folder / "template", "v1")
    cruft(folder, "create", folder / "template", "--no-input")
    commit(folder / "lit-project")
    for repository in ("template", "lit-project"):
        git(folder / repository, "gc", "--quiet")  # few files, which are quick to copy
    return folder


@pytest.fixture
def template(first_release, tmp_path):
    """The template's repository, to be changed; its only release is v1."""
    return Path(shutil.copytree(first_release / "template", tmp_path / "template"))


@pytest.fixture
def project(first_release, template, tmp_path):
    """The default project, made of v1."""
    project = Path(shutil.copytree(first_release / "lit-project", tmp_path / "lit-project"))
    state = json.loads(read(project / ".cruft.json")) | {"template": str(template)}
    write(project / ".cruft.json", json.dumps(state, indent=2))
    return commit(project)


def read(path):
    return path.read_text(encoding="utf-8")


def write(path, text):
    path.write_text(text, encoding="utf-8", newline="\n")


def append(path, line):
    write(path, read(path) + line)


def replace(path, old, new):
    assert old in read(path)
    write(path, read(path).replace(old, new))


def commit(folder):
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Change")
    return folder


def release(template, tag):
    commit(template)
    git(template, "tag", tag)


def release_v2(template):
    """Release a changed line in network.py and a new one in model.py."""
    replace(template / NETWORK, "nn.ReLU()", "nn.SiLU()")
    append(template / MODEL, THEIRS)
    release(template, "v2")


def takes_v2(project, package="lit_project"):
    package = project / "src" / package
    return "nn.SiLU()" in read(package / "network.py") and read(package / "model.py").endswith(THEIRS)


def git(folder, *arguments):
    return run_in(folder, "git", *arguments)


def cruft(folder, *arguments, **expected):
    return run_in(folder, sys.executable, "-m", "cruft", *arguments, **expected)


def update(project, *arguments, **expected):
    return cruft(project, "update", "--skip-apply-ask", *arguments, **expected)


def update_answers(project, **answers):
    return update(project, "--variables-to-update", json.dumps(answers))


def run_in(folder, *command, code=0, typed="", **environment):
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**os.environ, **SETTINGS, **environment},
        input=typed,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def bytes_of(folder):
    """What each file holds and whether it may be run, beside what git and cruft keep."""
    paths = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts]
    files = {path.relative_to(folder).as_posix(): (path.stat().st_mode & 0o111, path.read_bytes()) for path in paths}
    files.pop(".cruft.json", None)
    return files


def answers(project):
    return json.loads(read(project / ".cruft.json"))["context"]["cookiecutter"]


def test_two_bakes_are_equal_byte_for_byte(tmp_path):
    longest = max(map(len, CHOICES.values()))
    given = [{option: given[index % len(given)] for option, given in CHOICES.items()} for index in range(longest)]
    command = [sys.executable, "-c", BAKE_EACH, json.dumps(given)]
    # It is never the same day in both places.
    run_in(ROOT / "tests", *command, tmp_path / "one", PYTHONHASHSEED="1", TZ="EAST-14")
    run_in(ROOT / "tests", *command, tmp_path / "other", PYTHONHASHSEED="2", TZ="WEST+11")
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "other")
    assert len(bytes_of(tmp_path / "one")) > longest * 40


def test_nothing_differs_right_after_create_and_nothing_else_is_printed(template, tmp_path):
    given = {**ODD, "project_slug": "ada", "task": "language", "ci": "none"}
    cruft(tmp_path, "create", template, "--no-input", "--extra-context", json.dumps(given))
    assert not cruft(tmp_path / "ada", "diff", "--exit-code")
    assert pyproject(tmp_path / "ada")["project"]["description"] == ODD["description"]


def test_what_cruft_writes_is_no_secret_for_pre_commit(project):
    hooks = yaml.safe_load(read(project / ".pre-commit-config.yaml"))["repos"][0]["hooks"]
    words = shlex.split(next(hook["entry"] for hook in hooks if hook["id"] == "detect-secrets"))
    excluded = re.compile(words[words.index("--exclude-lines") + 1])
    hashes = [line for line in read(project / ".cruft.json").splitlines() if re.search("[0-9a-f]{40}", line)]
    assert len(hashes) == 2
    assert all(map(excluded.search, hashes))


def test_update_changes_other_lines_than_the_user_did(template, project):
    append(project / "src/lit_project/network.py", MINE)
    replace(project / "README.md", "## A run", "## My runs")
    write(project / "src/lit_project/mine.py", MINE)
    commit(project)
    release_v2(template)
    cruft(project, "check", code=1)
    update(project)
    assert takes_v2(project)
    assert read(project / "src/lit_project/network.py").endswith(MINE)
    assert "## My runs" in read(project / "README.md")
    assert read(project / "src/lit_project/mine.py") == MINE
    cruft(project, "check")


# In the place of those on GitHub's machines. What gh is asked to do is kept in a file.
PIPX = f"""#!/bin/bash
[ "$GH_TOKEN" = "" ] && exec {sys.executable} -m cruft "${{@:5}}"
"""
GH = """#!/bin/bash
[ "$GH_TOKEN" = given ] || exit 4
echo "$*" >> "$GH_CALLS"
case "$1 $2" in "pr list") grep -c "pr create" "$GH_CALLS" || true ;; esac
"""


def run_update_workflow(project, token):
    """The steps of the workflow that updates a project, with its conditions; return its pull requests so far."""
    folder = project.parent / "machine"
    folder.mkdir(exist_ok=True)
    for name, script in (("pipx", PIPX), ("gh", GH)):
        write(folder / name, script)
        (folder / name).chmod(0o755)
    for name in ("outputs", "calls"):
        (folder / name).touch()
    workflow = yaml.safe_load(read(project / ".github/workflows/update.yml"))
    (job,) = workflow["jobs"].values()
    assert job["env"] == {"IS_ON": "${{ secrets.TEMPLATE_TOKEN != '' }}"}
    for step in job["steps"]:
        told = read(folder / "outputs").removeprefix("release=").strip()
        is_on = {"env.IS_ON == 'true'": bool(token), "steps.update.outputs.release": bool(told)}[step["if"]]
        if is_on and "run" in step:
            assert "${{" not in step["run"]  # or a name could be a command
            values = {"${{ secrets.TEMPLATE_TOKEN }}": token, "${{ steps.update.outputs.release }}": told}
            given = {name: values.get(value, value) for name, value in step.get("env", {}).items()}
            places = {"GITHUB_OUTPUT": str(folder / "outputs"), "GH_CALLS": str(folder / "calls")}
            path = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
            run_in(project, "bash", "-e", "-c", step["run"], **{"GH_TOKEN": "", **places, **path, **given})
    (folder / "outputs").unlink()
    return [line for line in read(folder / "calls").splitlines() if line.startswith("pr create")]


@pytest.mark.skipif(not shutil.which("jq"), reason="needs jq, which GitHub's machines have")
def test_workflow_opens_one_pull_request_for_a_new_release_and_none_before(template, project, tmp_path):
    git(tmp_path, "clone", "--quiet", "--bare", project, tmp_path / "origin")
    git(project, "remote", "add", "origin", tmp_path / "origin")
    git(template, "tag", "--delete", "v1")
    version = pyproject(ROOT)["project"]["version"]
    git(template, "tag", f"v{version}")
    assert not run_update_workflow(project, token="given")
    replace(template / "cookiecutter.json", f'"_version": "{version}"', '"_version": "99.0.0"')
    release_v2(template)
    git(template, "tag", "--delete", "v2")
    git(template, "tag", "v99.0.0")
    assert not run_update_workflow(project, token="")
    assert git(project, "branch", "--show-current").strip() != "template-v99.0.0"
    append(project / "src/lit_project/network.py", MINE)
    commit(project)
    start = git(project, "branch", "--show-current").strip()
    (opened,) = run_update_workflow(project, token="given")
    assert "--head template-v99.0.0 --title Update to template v99.0.0" in opened
    assert git(tmp_path / "origin", "rev-parse", "template-v99.0.0") == git(project, "rev-parse", "HEAD")
    assert takes_v2(project)
    assert read(project / "src/lit_project/network.py").endswith(MINE)
    assert not git(project, "status", "--porcelain")
    git(project, "switch", "--quiet", start)  # nobody has merged it yet
    assert run_update_workflow(project, token="given") == [opened]


def test_same_line_is_a_conflict_that_shows_both(template, project):
    replace(project / "src/lit_project/network.py", "nn.ReLU()", "nn.GELU()")
    commit(project)
    release_v2(template)
    assert "Applied patch to 'src/lit_project/network.py' with conflicts" in update(project)
    text = read(project / "src/lit_project/network.py")
    assert text.index("<<<<<<< ours") < text.index("nn.GELU()") < text.index("nn.SiLU()") < text.index(">>>>>>> theirs")
    assert "UU src/lit_project/network.py" in git(project, "status", "--porcelain")
    assert read(project / "src/lit_project/model.py").endswith(THEIRS)


@pytest.mark.parametrize("repository", [True, False])
def test_same_line_changed_before_the_first_commit_or_without_git_gives_a_rej_file(template, project, repository):
    (project / ".git").rename(project.parent / "unused")
    replace(project / "src/lit_project/network.py", "nn.ReLU()", "nn.GELU()")
    if repository:
        commit(project)
    release_v2(template)
    assert "*.rej files" in update(project)
    assert "nn.GELU()" in read(project / "src/lit_project/network.py")
    assert "nn.SiLU()" in read(project / "src/lit_project/network.py.rej")
    assert read(project / "src/lit_project/model.py").endswith(THEIRS)


def test_uncommitted_work_is_never_touched(template, project):
    append(project / "README.md", MINE)
    release_v2(template)
    before = bytes_of(project)
    assert "unclean git project" in update(project, code=1)
    assert bytes_of(project) == before


def test_file_that_the_template_renames_takes_the_user_s_lines_along(template, project):
    append(project / "src/lit_project/network.py", MINE)
    commit(project)
    release_v2(template)
    (template / NETWORK).rename((template / NETWORK).with_name("layers.py"))
    release(template, "v3")
    update(project)
    assert not (project / "src/lit_project/network.py").exists()
    assert "nn.SiLU()" in read(project / "src/lit_project/layers.py")
    assert read(project / "src/lit_project/layers.py").endswith(MINE)


def test_file_that_the_user_deleted_stays_away(template, project):
    (project / "src/lit_project/network.py").unlink()
    commit(project)
    release_v2(template)
    update(project)
    assert not (project / "src/lit_project/network.py").exists()
    assert read(project / "src/lit_project/model.py").endswith(THEIRS)


def test_file_that_the_template_deletes_goes_unless_the_user_edited_it(template, project):
    append(project / "docs/scale.md", MINE)
    commit(project)
    (template / PROJECT.name / "docs/scale.md").unlink()
    (template / PROJECT.name / "SECURITY.md").unlink()
    release_v2(template)
    assert "docs/scale.md: patch does not apply" in update(project)
    assert read(project / "docs/scale.md").endswith(MINE)
    assert not (project / "SECURITY.md").exists()
    assert takes_v2(project)


def test_user_s_file_in_the_place_of_a_new_one_is_a_conflict_that_shows_both(template, project):
    write(project / "Makefile", MINE)
    commit(project)
    write(template / PROJECT.name / "Makefile", THEIRS)
    release_v2(template)
    assert "Applied patch to 'Makefile' with conflicts" in update(project)
    assert read(project / "Makefile") == f"<<<<<<< ours\n{MINE}=======\n{THEIRS}>>>>>>> theirs\n"


def test_user_s_file_that_git_does_not_know_is_kept_in_the_place_of_a_new_one(template, project):
    append(project / ".gitignore", "Makefile\n")
    commit(project)
    write(project / "Makefile", MINE)
    write(template / PROJECT.name / "Makefile", THEIRS)
    release_v2(template)
    assert "Makefile: already exists in working directory" in update(project)
    assert read(project / "Makefile") == MINE
    assert takes_v2(project)
    assert THEIRS in cruft(project, "diff")


def test_new_question_is_answered_by_its_default(template, project):
    replace(template / "cookiecutter.json", '"_extensions"', '"units": ["metric", "imperial"],\n  "_extensions"')
    append(template / PROJECT.name / "README.md", "\nUnits: {{ cookiecutter.units }}\n")
    release(template, "v2")
    update(project)
    assert read(project / "README.md").endswith("\nUnits: metric\n")
    assert answers(project)["units"] == "metric"


def test_answer_that_is_gone_changes_nothing_until_another_is_given(template, project):
    (template / PROJECT.name / "variants/logger/wandb").rename(template / PROJECT.name / "variants/logger/weights")
    for path in (template / "cookiecutter.json", template / "templates/choices.j2"):
        replace(path, '"wandb"', '"weights"')
    release_v2(template)
    before = bytes_of(project)
    assert "wandb provided for choice variable logger" in update(project, code=1)
    assert bytes_of(project) == before
    update_answers(project, logger="weights")
    assert takes_v2(project)


@pytest.mark.parametrize(
    "changed",
    [
        {"logger": "tensorboard", "ci": "gitlab"},
        {"logger": "csv", "ci": "none", "license": "Apache-2.0", "task": "language"},
    ],
    ids=str,
)
def test_other_answer_later_gives_the_project_of_that_answer(project, tmp_path, changed):
    update_answers(project, **changed)
    assert bytes_of(project) == bytes_of(bake_into(tmp_path / "baked", **changed))


def test_other_answer_later_can_be_typed(project, tmp_path):
    present = "\n" * list(QUESTIONS).index("ci")
    update(project, "--cookiecutter-input", typed=f"{present}2\n\n")
    assert bytes_of(project) == bytes_of(bake_into(tmp_path / "baked", ci="gitlab"))


def test_other_answer_later_keeps_what_the_user_wrote_into_the_files_of_the_old_one(project):
    append(project / ".github/workflows/test.yml", MINE)
    append(project / "tests/test_logger.py", MINE)
    commit(project)
    told = update_answers(project, ci="gitlab", logger="csv")
    assert ".github/workflows/test.yml: patch does not apply" in told
    assert (project / ".gitlab-ci.yml").exists()
    assert read(project / ".github/workflows/test.yml").endswith(MINE)
    assert read(project / "tests/test_logger.py").endswith(MINE)


def test_project_in_a_renamed_folder_of_a_larger_repository_is_updated(template, project):
    project = project.rename(project.with_name("renamed"))
    (project / ".git").rename(project.parent / ".git")
    write(project.parent / ".gitignore", "/template/\n")
    commit(project.parent)
    release_v2(template)
    update(project)
    assert takes_v2(project)


def test_cruft_renames_the_package_and_takes_the_user_s_lines_along(template, project):
    append(project / "src/lit_project/network.py", MINE)
    write(project / "src/lit_project/mine.py", MINE)
    commit(project)
    release_v2(template)
    update_answers(project, project_slug="my-model")
    assert takes_v2(project, "my_model")
    assert read(project / "src/my_model/network.py").endswith(MINE)
    assert pyproject(project)["project"]["scripts"] == {"my-model": "my_model.__main__:main"}
    assert [path.name for path in (project / "src/lit_project").iterdir()] == ["mine.py"]  # the user moves it


def test_package_that_the_user_renamed_is_updated_once_cruft_knows_its_name(template, project):
    git(project, "mv", "src/lit_project", "src/my_model")
    names = {"lit_project": "my_model", "lit-project": "my-model", "LIT_PROJECT": "MY_MODEL"}
    for file in git(project, "ls-files").splitlines():
        for old, new in names.items():
            write(project / file, read(project / file).replace(old, new))
    commit(project)
    assert answers(project)["project_slug"] == "my-model"
    assert not cruft(project, "diff", "--exit-code")
    release_v2(template)
    update(project)
    assert takes_v2(project, "my_model")


def test_package_that_the_user_renamed_unknown_to_cruft_is_left_alone(template, project):
    git(project, "mv", "src/lit_project", "src/my_model")
    commit(project)
    release_v2(template)
    update(project)
    assert git(project, "status", "--porcelain") == " M .cruft.json\n"


def test_each_version_is_baked_with_its_own_filters(template, project):
    replace(template / "lit_answers.py", "quoted=quoted", "quotes=quoted")
    for name in ("pyproject.toml", ".devcontainer/devcontainer.json"):
        replace(template / PROJECT.name / name, "| quoted", "| quotes")
    release_v2(template)
    update(project)
    assert takes_v2(project)


def test_new_version_s_checks_hold_and_another_answer_passes_them(template, project):
    # No byte longer: Python may not take the old version's compiled file for the new one's.
    replace(template / "lit_answers.py", '"project_name": 100', '"project_name":   3')
    release_v2(template)
    before = bytes_of(project)
    assert "has 11 characters" in update(project, code=1)
    assert bytes_of(project) == before
    update_answers(project, project_name="Lit")
    assert takes_v2(project)


def test_derived_answers_follow_the_new_version(template, project):
    replace(template / "cookiecutter.json", "replace('-', '_') }}", "replace('-', '_') }}_code")
    release_v2(template)
    update(project)
    assert takes_v2(project, "lit_project_code")
    assert answers(project)["__package"] == "lit_project_code"


def test_project_names_the_template_s_version_and_an_update_moves_it(template, project):
    version = pyproject(ROOT)["project"]["version"]
    assert pyproject(project)["tool"]["lit-template"]["version"] == version
    replace(template / "cookiecutter.json", f'"_version": "{version}"', '"_version": "99.0.0"')
    release(template, "v99.0.0")
    release_v2(template)
    update(project, "--checkout", "v99.0.0")
    assert pyproject(project)["tool"]["lit-template"]["version"] == "99.0.0"
    assert not takes_v2(project)


def test_project_that_cookiecutter_made_is_updated_once_it_is_linked(template, tmp_path):
    given = {**ODD, "project_slug": "ada", "logger": "csv"}
    project = commit(bake_into(tmp_path, **given))
    append(project / "src/ada/network.py", MINE)
    release_v2(template)
    cruft(project, "link", template, "--no-input", "--checkout", "v1", "--extra-context", json.dumps(given))
    difference = cruft(commit(project), "diff").splitlines()
    assert [line for line in difference if re.match(r"[-+][^-+]", line)] == [f"-{MINE.strip()}"]
    update(project)
    assert takes_v2(project, "ada")


def test_link_asks_the_template_s_questions(template, tmp_path):
    project = commit(bake_into(tmp_path, project_name="Ada", logger="csv"))
    cruft(project, "link", template, "--checkout", "v1", typed="Ada\n\n\n\n\n4\n\n\n\n")
    assert answers(project)["project_slug"] == "ada"
    assert answers(project)["logger"] == "csv"
    assert git(template, "rev-parse", "v1").strip() in read(project / ".cruft.json")


def test_wrong_answers_to_link_are_seen_in_the_difference(template, tmp_path):
    project = commit(bake_into(tmp_path, logger="csv"))
    cruft(project, "link", template, "--no-input", "--checkout", "v1")
    assert "wandb" in cruft(project, "diff")


def test_half_done_run_goes_on_exactly_after_an_update_over_an_edited_front(template, project, python):
    append(project / "src/lit_project/data.py", MINE)
    commit(project)
    shutil.copy(PROGRAMS / "stop.py", project)
    flags = ["--preset=mlp", "--trainer.max_epochs=3", "--trainer.enable_progress_bar=false"]
    run([python, "-m", "lit_project", "fit", "--run=untouched", *flags], project)
    run([python, "stop.py", "20", "fit", "--run=stopped", *flags], project, code=143)
    manifest = f"{PROJECT.name}/{PACKAGE}/engine/command/manifest.py"
    replace(template / manifest, "FORMAT = 1", "FORMAT = 2")
    append(template / MODEL, THEIRS)
    release(template, "v2")
    (project / "stop.py").unlink()
    update(project)
    assert "FORMAT = 2" in read(project / "src/lit_project/engine/command/manifest.py")
    assert read(project / "src/lit_project/data.py").endswith(MINE)
    assert read(project / "src/lit_project/model.py").endswith(THEIRS)
    run([python, "-m", "lit_project", "fit", "--run=stopped", *flags], project)
    ends = [(project / "runs" / name / "metrics.csv").read_bytes() for name in ("untouched", "stopped")]
    assert ends[0] == ends[1]
    (line,) = run([python, "-c", SAME_WEIGHTS], project).splitlines()
    assert line == "True"
