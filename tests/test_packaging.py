"""The wheel holds what the checkout holds: all modules and all content, nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CONTENT = ("benchmarks", "judges", "guardrails", "reports")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


def test_the_wheel_holds_every_module_and_all_content(wheel):
    with zipfile.ZipFile(wheel) as z:
        found = {n for n in z.namelist() if ".dist-info/" not in n}
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    hidden = {p for p in listed if any(part.startswith(".") for part in Path(p).parts)}
    code = {p for p in listed if p.startswith("evalkit/")}
    content = {f"evalkit/_content/{p}" for p in listed if p.partition("/")[0] in CONTENT}
    expected = {p for p in code | content if p not in hidden and (ROOT / p.removeprefix("evalkit/_content/")).exists()}
    assert found == expected
    assert "evalkit/py.typed" in found
    assert "evalkit/_content/benchmarks/copriva/suite.yaml" in found


def test_the_wheel_works_on_its_own(wheel, tmp_path):
    # unpacked away from the checkout: content must be found inside the package
    with zipfile.ZipFile(wheel) as z:
        z.extractall(tmp_path / "site")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); import evalkit; "
        f"assert evalkit.__file__.startswith({str(tmp_path)!r}), evalkit.__file__\n"
        "from evalkit.benchmarks import suites; print(sum(1 for _ in suites.build('copriva', {}).read()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1200
