"""Which load requests are refused before the engine hears of them."""

from pathlib import Path

import pytest

from adapters.vllm_plugin.load_order import LoadOrder, RefusedError, check_order

VERSION = "fees@0123456789ab"


def adapter(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(b"x")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    adapter(tmp_path / "root" / VERSION)
    return tmp_path / "root"


def refusal(name: object, path: object, root: Path | None) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        check_order(name, path, root)
    return caught.value


def test_a_good_order_is_resolved(root: Path) -> None:
    assert check_order(VERSION, f"{root}/./{VERSION}/", root) == LoadOrder(VERSION, root / VERSION)


def test_a_root_behind_a_symlink_is_the_same_root(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    assert check_order(VERSION, str(link / VERSION), link).folder == root / VERSION


@pytest.mark.parametrize(
    "name",
    [
        "fees",
        "base",
        "",
        None,
        7,
        ["fees@0123456789ab"],
        "Fees@0123456789ab",
        "fees@0123456789aB",
        "fees@0123456789a",
        "fees@0123456789abc",
        "fees@0123456789ab\n",
        "../fees@0123456789ab",
        "fe.es@0123456789ab",
        "-fees@0123456789ab",
        "f" * 64 + "@0123456789ab",
        "fées@0123456789ab",
    ],
)
def test_bad_names_are_400(root: Path, name: object) -> None:
    refused = refusal(name, str(root / VERSION), root)
    assert refused.status == 400
    assert "version id" in refused.message


def test_a_huge_name_is_shortened_in_the_message(root: Path) -> None:
    assert len(refusal("x" * 1_000_000, str(root / VERSION), root).message) < 250


def test_paths_that_are_not_directly_under_the_root_are_400(root: Path, tmp_path: Path) -> None:
    outside = adapter(tmp_path / "outside" / VERSION)
    deeper = adapter(root / "deeper" / VERSION)
    sibling = adapter(tmp_path / "rootless" / VERSION)
    paths = [outside, deeper, sibling, root, root.parent, root / VERSION / "..", root / "deeper"]
    for path in [*map(str, paths), "", None, 3, "\0", f"{root}/x\0/../{VERSION}", VERSION, f"../{VERSION}"]:
        assert refusal(VERSION, path, root).status == 400, path


def test_a_symlink_out_of_the_root_is_400(root: Path, tmp_path: Path) -> None:
    outside = adapter(tmp_path / "outside" / "other@0123456789ab")
    (root / "other@0123456789ab").symlink_to(outside)
    assert refusal("other@0123456789ab", str(root / "other@0123456789ab"), root).status == 400


def test_a_folder_of_another_version_is_400(root: Path) -> None:
    other = "fees@ba9876543210"
    (root / other).symlink_to(root / VERSION)
    assert refusal(other, str(root / other), root).status == 400
    assert refusal(other, str(root / VERSION), root).status == 400


def test_without_a_root_nothing_loads(root: Path) -> None:
    assert refusal(VERSION, str(root / VERSION), None).status == 400


def test_missing_files_are_404(root: Path) -> None:
    assert refusal("gone@0123456789ab", str(root / "gone@0123456789ab"), root).status == 404
    (root / VERSION / "adapter_config.json").unlink()
    refused = refusal(VERSION, str(root / VERSION), root)
    assert (refused.status, "adapter_config.json" in refused.message) == (404, True)


@pytest.mark.parametrize("name", ["adapter_model.bin", "adapter_model.pt", "X.BIN"])
def test_pickles_are_422(root: Path, name: str) -> None:
    (root / VERSION / name).write_bytes(b"x")
    assert refusal(VERSION, str(root / VERSION), root).status == 422


def test_files_that_lead_elsewhere_are_422(root: Path, tmp_path: Path) -> None:
    weights = root / VERSION / "adapter_model.safetensors"
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    assert refusal(VERSION, str(root / VERSION), root).status == 422
