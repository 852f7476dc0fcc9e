"""The rules of the house, read from the source: where imports point, what is never loaded, how long a file may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tsuite import core
from tsuite.core import registry

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("core", "domains", "cli")
MOST_LINES = 400
HEAVY = {"torch", "timm", "transformers", "torchvision", "kornia", "matplotlib", "huggingface_hub"}
UNSAFE_IMPORTS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def product_files() -> list[Path]:
    files = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
    return [*files, *ROOT.glob("__*__.py")]


FILES = product_files()


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def package_of(path: Path) -> tuple[str, ...]:
    """The folders below the root that a file's relative imports start from."""
    return path.relative_to(ROOT).parent.parts


def relative_imports(path: Path, tree: ast.Module) -> Iterator[tuple[str, ...]]:
    """Where each relative import leads, as a path below the root: `("core", "attention")`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            package = package_of(path)
            assert node.level - 1 <= len(package), f"{name_of(path)}:{node.lineno} imports from above the package"
            start = package[: len(package) - node.level + 1]
            module = tuple(node.module.split(".")) if node.module else ()
            for alias in node.names:
                yield (*start, *module, alias.name)


def absolute_imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def dotted(node: ast.AST) -> str:
    """`torch.load` for the expression of that spelling; empty for anything more involved."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def may_import(importer: tuple[str, ...], target: tuple[str, ...]) -> bool:
    """cli -> domains -> core, and no domain another. The root's own files may import anything."""
    if not importer or not target or target[0] not in LAYERS:
        return True
    if LAYERS.index(target[0]) > LAYERS.index(importer[0]):
        return False
    both_in_domains = importer[0] == target[0] == "domains"
    return not (both_in_domains and importer[1:2] and target[1:2] and importer[1] != target[1])


def test_the_rule_itself() -> None:
    assert may_import(("cli",), ("domains", "vision"))
    assert may_import(("domains", "vision", "vit"), ("core", "attention"))
    assert may_import(("domains", "vision", "vit"), ("domains", "vision", "data"))
    assert may_import((), ("cli", "main"))
    assert not may_import(("core",), ("domains", "vision"))
    assert not may_import(("core", "sources"), ("cli",))
    assert not may_import(("domains", "vision"), ("cli", "main"))
    assert not may_import(("domains", "vision", "vit"), ("domains", "text", "data"))


def test_source_was_found() -> None:
    assert len(FILES) > 15
    assert {path.relative_to(ROOT).parts[0] for path in FILES} >= {"core", "domains", "cli", "__init__.py"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    tree = tree_of(path)
    wrong = [".".join(target) for target in relative_imports(path, tree) if not may_import(package_of(path), target)]
    assert not wrong, f"{name_of(path)} must not import {wrong}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_inside_the_package_are_relative(path: Path) -> None:
    """Absolute ones would find another installation, or a stranger's `core`, depending on where Python was started."""
    own = {"tsuite", *LAYERS}
    wrong = [name for name in absolute_imports(tree_of(path)) if name.partition(".")[0] in own]
    assert not wrong, f"{name_of(path)} imports {wrong} absolutely"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_executes_what_it_loads(path: Path) -> None:
    tree = tree_of(path)
    imported = {name.partition(".")[0] for name in absolute_imports(tree)} & UNSAFE_IMPORTS
    assert not imported, f"{name_of(path)} imports {imported}"
    assert "torch.load" not in set(absolute_imports(tree)), f"{name_of(path)} imports torch.load"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            assert name not in {"eval", "exec", "builtins.eval", "builtins.exec"}, f"{name_of(path)}:{node.lineno}"
        if isinstance(node, ast.Attribute):
            assert dotted(node) != "torch.load", f"{name_of(path)}:{node.lineno}: weights are safetensors"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant), f"{name_of(path)}:{node.value.lineno}"
            assert node.value.value is False, f"{name_of(path)}:{node.value.lineno}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_is_one_idea(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{name_of(path)} has {lines} lines: find the two ideas in it"


@pytest.mark.parametrize("layer", ["core", "domains", "cli"])
def test_every_folder_of_source_is_a_package(layer: str) -> None:
    """setuptools leaves folders without an `__init__.py` out of the wheel."""
    folders = {path.parent for path in (ROOT / layer).rglob("*.py")}
    assert not [name_of(folder) for folder in folders if not (folder / "__init__.py").exists()]


def test_datasets_is_no_package() -> None:
    """With an `__init__.py` it would hide Hugging Face `datasets` from whoever runs in this folder."""
    assert not list((ROOT / "datasets").rglob("*.py"))


def test_starting_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "import tsuite, tsuite.core, tsuite.cli, tsuite.core.registry\n"
        "tsuite.core.registry.cards()\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) & HEAVY == set()


def test_every_model_is_found() -> None:
    """One card for each folder under domains/<domain>/ that is a package, and at least one at all."""
    folders = {path.parent for path in (ROOT / "domains").glob("*/*/card.toml")}
    found = [card for card in registry.cards().values() if card.folder.is_relative_to(registry.HOME)]
    assert len(found) == len(folders) >= 1
    for card in found:
        assert card.name == ".".join(card.folder.parts[-2:])
    assert all((folder / "__init__.py").is_file() for folder in folders)


def test_names_of_core_are_where_it_says() -> None:
    """`tsuite.core` imports its names late; each of them must exist, and be declared to type checkers too."""
    typed = next(node for node in tree_of(ROOT / "core" / "__init__.py").body if isinstance(node, ast.If))
    declared = {alias.name for node in typed.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(dir(core)) == declared
    assert all(callable(getattr(core, name)) for name in dir(core))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        core.Nothing  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]
