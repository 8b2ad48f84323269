"""Every message that aotpack, aotrun, the C library and the launcher print is one that the doctor explains.

They are found in the sources: by their syntax in Python, by their text in C and C++.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from aotpack import errors, resources
from aotpack_doctor.findings import catalog
from aotpack_doctor.findings.explain import explain
from aotpack_doctor.findings.wording import for_target

ROOT = Path(__file__).resolve().parents[3]
TOOLCHAIN = ROOT / "toolchain/aotpack"
RUNNER = ROOT / "templates/runner/aotrun"
#: Classes whose instances are printed as three lines.
ERRORS = {name for name, value in vars(errors).items() if isinstance(value, type)} | {"AotError", "RunError"}
#: Functions of the runner that make one: their arguments are the three lines as well.
MAKERS = {"_refuse", "_misfit"}


def texts(node: ast.expr) -> list[str]:
    """What an expression of strings may be; a word in the place of what is not known."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.JoinedStr):
        return ["".join(str(part.value) if isinstance(part, ast.Constant) else "word" for part in node.values)]
    if isinstance(node, ast.IfExp):
        return texts(node.body) + texts(node.orelse)
    if isinstance(node, ast.BinOp):
        return [left + right for left in texts(node.left) for right in texts(node.right)]
    return ["word."]


def raised(folder: Path) -> Iterator[tuple[str, list[list[str]]]]:
    """(where, the possible first, second and third lines) of each error that is made in the sources."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            named = {word.arg: word.value for word in node.keywords}
            lines = [*node.args, *(named[key] for key in ("meaning", "fix") if key in named)]
            if (name in ERRORS or (name.endswith("Error") and name != "SpecialFileError")) and len(lines) >= 3:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", [texts(line) for line in lines[:3]]


def shown(lines: list[str], *, by_aotpack: bool) -> str:
    """As it is printed: one line each, whatever is in it."""
    what, meaning, fix = (" ".join(line.split()) for line in lines)
    return f"error: {what}\n  {meaning}\n  fix: {fix}\n" if by_aotpack else f"error: {what}\n{meaning}\n{fix}\n"


@pytest.mark.parametrize(("folder", "least"), [(TOOLCHAIN, 120), (RUNNER, 60)], ids=["aotpack", "aotrun"])
def test_python(folder: Path, least: int) -> None:
    seen = 0
    for where, alternatives in raised(folder):
        for what in alternatives[0]:
            for meaning in alternatives[1]:
                seen += 1
                text = shown([what, meaning, alternatives[2][0]], by_aotpack=folder == TOOLCHAIN)
                assert explain(text), f"{where}:\n{text}"
    assert seen >= least


def braces(text: str) -> list[list[str]]:
    """The string literals of each `{...}` in order; nested ones belong to the outer."""
    found: list[list[str]] = []
    depth = 0
    for token in re.finditer(r'"((?:[^"\\\\]|\\\\.)*)"|[{}]', text):
        if token[0] == "{":
            depth += 1
            if depth == 1:
                found.append([])
        elif token[0] == "}":
            depth -= 1
        elif depth:
            found[-1].append(token[1].replace('\\\\"', '"'))
    return found


CPP = re.compile(r"(?:Error\(|return \{|usage_error\(|refusal\()(?:AOT_\w+,)?\s*(\{.*?\})\)?;", re.DOTALL)


def test_the_c_library() -> None:
    seen = 0
    for path in sorted((ROOT / "bridge/src").rglob("*.cpp")):
        for match in CPP.finditer(path.read_text(encoding="utf-8")):
            pieces = braces(match[1])
            if len(pieces) < 3 or not all(pieces[:3]):
                continue
            seen += 1
            # What stands between the literals is a value.
            what, meaning, fix = (" word ".join(piece) for piece in pieces[:3])
            text = shown([f"word {what}", meaning, fix], by_aotpack=False)
            assert explain(text), f"{path.relative_to(ROOT)}:\n{text}"
    assert seen >= 40


def test_the_launcher() -> None:
    sources = sorted((ROOT / "templates/launcher").glob("*.c"))
    source = "".join(path.read_text(encoding="utf-8") for path in sources)
    seen = 0
    for match in re.finditer(r'fail\(EXIT_\w+, ("[^;]*?)\);', source, re.DOTALL):
        literals = re.findall(r'"((?:[^"\\\\]|\\\\.)*)"', match[1])
        seen += 1
        what, *rest = literals
        for meaning in rest[:-1]:
            assert explain(shown([what + "/b/x", meaning, rest[-1]], by_aotpack=False)), literals
    assert seen >= 11


def test_a_message_keeps_its_own_words() -> None:
    text = (
        "noise\nerror: input x is float64, the model takes float32\nNothing is converted unasked.\nAdd --cast.\nnoise\n"
    )
    (found,) = explain(text)
    assert found.kind is catalog.OWN
    assert found.seen == "input x is float64, the model takes float32 (Nothing is converted unasked)"
    assert found.fix == ("Add --cast.",)
    (found,) = explain(
        "error: there is no command 'run'\n  a bundle runs its models itself\n  fix: BUNDLE/bin/aotrun infer\n"
    )
    assert found.fix == ("BUNDLE/bin/aotrun infer",)


OTHERS = ["error: something", "error: a\n\nb", "x.c:3: error: a\nb.\nc"]
OTHERS += ["error: could not compile `x`\nerror: aborting\nerror: b"]


@pytest.mark.parametrize("text", OTHERS)
def test_other_programs_errors_are_not_ours(text: str) -> None:
    assert explain(text) == []


# ---- on a target -----------------------------------------------------------------------------------------------------


def steps() -> Iterator[str]:
    """Every literal of the doctor that tells somebody to type a command of aotpack."""
    for path in sorted((resources.DOCTOR / "findings").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant | ast.JoinedStr):
                for text in texts(node):
                    if re.match(r"(\S+=\S+ )?aotpack \w", text):
                        yield text


def test_nothing_on_a_target_says_to_type_aotpack() -> None:
    found = list(steps())
    assert len(found) > 40
    for step in found:
        told = for_target(catalog.OWN.found("seen", step)).fix[0]
        assert "aotpack" not in told, step
    groups = {"toolkit", "model", "bundle", "target"}
    kinds = [kind for kind in catalog.kinds().values() if kind.group in groups]
    assert {kind.group for kind in kinds} == groups
    for kind in kinds:
        assert "aotpack" not in kind.title + kind.meaning, kind.code
    spoken = [*(ROOT / "bridge/src").rglob("*.cpp"), ROOT / "templates/launcher/aotrun.c", *RUNNER.rglob("*.py")]
    for path in spoken:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"aotpack (?:build|export|verify|doctor|inspect|init|new)\b", text), path


WHERE = "where the bundle was built:"
STEPS = {
    "aotpack build --portable ...   # again": f"{WHERE} build the bundle again, with --portable (again)",
    "aotpack verify BUNDLE   # who needs libx.so": "BUNDLE/bin/aotrun doctor   # who needs libx.so",
    "aotpack export --cpu-isa portable ...": f"{WHERE} export the model again, with --cpu-isa portable",
    "sudo reboot": "sudo reboot",
}


@pytest.mark.parametrize(("step", "told"), STEPS.items())
def test_steps_are_for_whoever_can_take_them(step: str, told: str) -> None:
    assert for_target(catalog.OWN.found("seen", step)).fix == (told,)
