"""Training: from scratch and from checkpoints, all of it or parts, and what the run leaves behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tsuite.core import pretrained
from tsuite.core.checkpoint import load_tensors
from tsuite.core.errors import UserError
from tsuite.domains.vision.augment import augmentation, mixup, targets
from tsuite.domains.vision.data import FeatureExample
from tsuite.domains.vision.vit.options import FinetuneOptions

from .originals import dinov2_backbone, vit_classifier
from .pictures import MICRO, digit_folder, load, task_class, train


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 60 digits of three classes under train/ and test/."""
    return digit_folder(tmp_path_factory.mktemp("few"), every=9, classes=3)


def prepare(data: Path, checkpoint: Path | None = None, settings: dict[str, str] | None = None, **options: Any) -> Any:
    given: dict[str, Any] = {"augment": "none"} | options
    chosen = FinetuneOptions(**given)
    return task_class().for_training(
        chosen,
        data=str(data),
        checkpoint=str(checkpoint) if checkpoint else None,
        settings=settings if settings is not None else {} if checkpoint else MICRO,
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_tensors(folder / "best" / "model.safetensors")


# -- from scratch ------------------------------------------------------------------------------------------------------


def test_what_a_run_leaves(digit_run: Path) -> None:
    left = {path.name for path in digit_run.iterdir()}
    assert {"config.yaml", "metrics.jsonl", "tensorboard", "checkpoints", "best", "plots", "card.json"} <= left
    card = json.loads((digit_run / "card.json").read_text())
    assert card["test"]["metrics"]["accuracy"] > 0.85
    assert card["test"]["n"] == 359
    assert card["data"]["train"]["sha256"]
    with Image.open(digit_run / "plots" / "confusion.png") as plot:
        assert plot.size[0] > 200
    assert {path.name for path in (digit_run / "best").iterdir()} == {
        "config.json", "model.safetensors", "novelty.safetensors", "manifest.json",
    }  # fmt: skip


def test_a_new_network_suits_the_pictures(few: Path, tmp_path: Path) -> None:
    prepared = prepare(few)
    config, seen = prepared.task.network.config, prepared.task.preprocessing
    assert (config.image_size, config.patch_size, config.channels, config.classes) == (16, 4, 1, 3)
    assert (seen.size, seen.crop) == (16, 1.0)
    assert 0 < seen.mean[0] < 1
    assert prepared.options.epochs > 10
    for number, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        for index in range(4):
            Image.new("RGB", (90, 80), (number * 200, index, 90)).save(tmp_path / name / f"{index}.png")
    photos = prepare(tmp_path, augment="auto")
    assert (photos.task.network.config.image_size, photos.task.network.config.channels) == (128, 3)
    assert photos.options.augment == "photos"
    assert prepare(few, augment="auto").options.augment == "symbols"


def test_the_seed_decides(few: Path) -> None:
    first, again, other = (prepare(few, seed=seed).task.network.head.weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_settings_reach_the_network_and_the_options(few: Path) -> None:
    prepared = prepare(few, settings=MICRO | {"patch_size": "8", "label_smoothing": "0.2"})
    assert prepared.task.network.config.patch_size == 8
    assert prepared.task.smoothing == 0.2
    with pytest.raises(UserError, match=r"no setting 'patch'.*patch_size"):
        prepare(few, settings={"patch": "8"})
    with pytest.raises(UserError, match=r"has 3 classes; leave --set classes=7 out"):
        prepare(few, settings=MICRO | {"classes": "7"})


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"freeze": "all"}, "nothing to keep frozen"),
        ({"lora": 4}, "nothing to keep frozen"),
        ({"freeze": "some"}, "--freeze takes none, all or a number"),
        ({"lora": 4, "freeze": "all"}, "--lora freezes what it must"),
        ({"mixup": 0.2, "freeze": "all"}, "--mixup needs pictures"),
        ({"layer_decay": 0.0}, "--layer-decay lies in"),
        ({"label_smoothing": 1.0}, "--label-smoothing is a share"),
        ({"augment": "photo"}, "--augment cannot be 'photo'.*photos"),
        ({"batch_size": 0}, "--batch-size must be above zero"),
        ({"epochs": -1}, "--epochs cannot be negative"),
    ],
)
def test_contradictions(options: dict[str, Any], match: str, few: Path) -> None:
    with pytest.raises(UserError, match=match):
        prepare(few, **options)


# -- from a checkpoint -------------------------------------------------------------------------------------------------


def test_equal_classes_keep_the_head(digit_run: Path, digit_data: Path) -> None:
    prepared = prepare(digit_data, digit_run)
    before = weights(digit_run)
    assert torch.equal(prepared.task.network.head.weight, before["head.weight"])
    assert prepared.task.novelty is not None
    assert prepared.task.origin.base == str(digit_run)
    assert prepared.options.lr == 1e-4


def test_equal_classes_in_another_order_keep_their_rows(digit_run: Path, digit_data: Path, tmp_path: Path) -> None:
    """A table with its classes in another order than the checkpoint's."""
    import datasets

    names = [str(number) for number in reversed(range(10))]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    files = [next((digit_data / "test" / name).iterdir()) for name in names] * 2
    rows = {"image": [str(file) for file in files], "label": list(range(10)) * 2}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "data"))
    task = prepare(tmp_path / "data", digit_run).task
    assert task.labels == tuple(names)
    assert torch.equal(task.network.head.weight, weights(digit_run)["head.weight"].flip(0))
    task.network.eval()
    original = load(digit_run)
    found, expected = task(files[0]).labels[0], original(files[0]).labels[0]
    assert found.name == expected.name
    assert found.probability == pytest.approx(expected.probability, abs=1e-5)


def test_other_classes_get_a_new_head(few: Path, digit_run: Path) -> None:
    prepared = prepare(few, digit_run)
    task = prepared.task
    assert task.labels == ("0", "1", "2")
    assert task.network.head.weight.shape == (3, 48)
    assert task.novelty is None
    assert any("a new head for the classes 0, 1, 2" in line for line in prepared.chosen)
    assert task.origin.parameters == sum(value.numel() for value in task.network.parameters())


def test_a_foreign_checkpoint_learns_and_comes_back(few: Path, tmp_path: Path) -> None:
    vit_classifier(tmp_path / "theirs")
    report = train(tmp_path / "run", few, checkpoint=tmp_path / "theirs", max_steps=2)
    task = load(tmp_path / "run")
    assert task.labels == ("0", "1", "2")
    assert task.preprocessing == load(tmp_path / "theirs").preprocessing
    assert report.to_json()["checkpoint"]["base"] == str(tmp_path / "theirs")


# -- parts of the network ----------------------------------------------------------------------------------------------


def learning(network: torch.nn.Module) -> set[str]:
    return {name for name, value in network.named_parameters() if value.requires_grad}


def test_freezing_all_but_some_blocks(few: Path, digit_run: Path, tmp_path: Path) -> None:
    task = prepare(few, digit_run, freeze="1").task
    tops = {name.split(".")[0] + "." + name.split(".")[1] for name in learning(task.network)}
    assert tops == {"head.weight", "head.bias", "encoder.norm", "encoder.blocks"}
    assert {name.split(".")[2] for name in learning(task.network) if "blocks" in name} == {"1"}
    with pytest.raises(UserError, match="--freeze 3: the network has 2 blocks"):
        prepare(few, digit_run, freeze="3")
    train(tmp_path / "run", few, checkpoint=digit_run, freeze="1", max_steps=3)
    before, after = weights(digit_run), weights(tmp_path / "run")
    assert torch.equal(before["encoder.blocks.0.mlp.up.weight"], after["encoder.blocks.0.mlp.up.weight"])
    assert not torch.equal(before["encoder.blocks.1.mlp.up.weight"], after["encoder.blocks.1.mlp.up.weight"])


def test_freezing_all_reads_features_once(
    few: Path, tmp_path: Path, tmp_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dinov2_backbone(tmp_path / "theirs")
    first = prepare(few, tmp_path / "theirs", freeze="all")
    assert first.task.trainable is first.task.network.head
    assert learning(first.task.network) == {"head.weight", "head.bias"}
    kept = sorted((tmp_cache / "features").iterdir())
    assert len(kept) == 2
    example = first.splits.train.examples[0]
    assert isinstance(example, FeatureExample)
    assert example.features.shape == (2 * 128,)  # both layers' class token and mean patch

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("the backbone was asked again")

    monkeypatch.setattr("tsuite.domains.vision.vit.training.view_of", never)
    again = prepare(few, tmp_path / "theirs", freeze="all")
    assert torch.equal(again.splits.train.examples[0].features, example.features)
    with pytest.raises(AssertionError, match="asked again"):  # another size is another feature
        prepare(few, tmp_path / "theirs", {"image_size": "24"}, freeze="all")


def test_a_head_on_several_layers(few: Path, digit_run: Path) -> None:
    prepared = prepare(few, digit_run, layers=2)
    task = prepared.task
    assert task.network.head.weight.shape == (3, 96)
    task.network.eval()
    assert task.predict(task.preprocess(prepared.splits.train.examples[:2]), task.run_options()).logits.shape == (2, 3)
    with pytest.raises(UserError, match="--layers 3: the network has 2"):
        prepare(few, digit_run, layers=3)


def test_a_probe_ends_as_a_whole_network(few: Path, tmp_path: Path, tmp_cache: Path) -> None:
    dinov2_backbone(tmp_path / "theirs")
    report = train(tmp_path / "run", few, checkpoint=tmp_path / "theirs", freeze="all", epochs=2, lr=0.05)
    assert report.data is not None
    assert report.data["split"] == "test"
    assert weights(tmp_path / "run")["head.weight"].any()
    assert torch.equal(
        weights(tmp_path / "run")["patches.projection.weight"],
        load(tmp_path / "theirs").network.patches.projection.weight,
    )
    assert load(tmp_path / "run").novelty is not None


def test_features_need_a_cache_that_can_be_written(few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dinov2_backbone(tmp_path / "theirs")
    (tmp_path / "file").touch()
    monkeypatch.setenv("TSUITE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match=r"cache folder .* cannot be written.*TSUITE_CACHE"):
        prepare(few, tmp_path / "theirs", freeze="all")


def test_lora_is_merged(few: Path, digit_run: Path, tmp_path: Path) -> None:
    names = learning(prepare(few, digit_run, lora=2).task.network)
    assert {name.rpartition("lora_")[1] for name in names} == {"lora_", ""}
    assert {name for name in names if "lora" not in name} == {"head.weight", "head.bias"}
    train(tmp_path / "run", few, checkpoint=digit_run, lora=2, lr=0.01, max_steps=5)
    before, after = weights(digit_run), weights(tmp_path / "run")
    assert set(before) == set(after)  # a plain network
    assert not torch.equal(before["encoder.blocks.0.mlp.up.weight"], after["encoder.blocks.0.mlp.up.weight"])
    assert torch.equal(before["patches.projection.weight"], after["patches.projection.weight"])
    change = after["encoder.blocks.0.mlp.up.weight"] - before["encoder.blocks.0.mlp.up.weight"]
    assert int(torch.linalg.matrix_rank(change, rtol=1e-3)) <= 2
    assert load(tmp_path / "run").network.config.classes == 3


# -- what is learned from ----------------------------------------------------------------------------------------------


def test_rare_classes_weigh_more(few: Path, tmp_path: Path) -> None:
    shutil.copytree(few, tmp_path / "data")
    for path in sorted((tmp_path / "data" / "train" / "2").iterdir())[3:]:
        path.unlink()
    prepared = prepare(tmp_path / "data", class_weights="balanced", validation=0.01)
    task = prepared.task
    count = torch.zeros(3)
    for example in prepared.splits.train.examples:
        count[example.label] += 1
    torch.testing.assert_close(task.class_weights * count, (count.sum() / 3).expand(3))
    batch = task.preprocess(prepared.splits.train.examples)
    assert task.weight(batch) == pytest.approx(float(count.sum()))
    parts = [task.preprocess(prepared.splits.train.examples[start::2]) for start in (0, 1)]
    task.network.eval()
    with torch.inference_mode():
        whole, *halves = (float(task.loss(task.network, part)) for part in (batch, *parts))
    assert whole == pytest.approx(sum(halves), rel=1e-4)


def test_targets_and_mixup() -> None:
    torch.manual_seed(0)
    soft = targets(torch.tensor([0, 2]), 4, smoothing=0.2)
    torch.testing.assert_close(soft, torch.tensor([[0.85, 0.05, 0.05, 0.05], [0.05, 0.05, 0.85, 0.05]]))
    pixels = torch.arange(3.0)[:, None, None, None].expand(3, 1, 2, 2)
    hard = targets(torch.tensor([0, 1, 2]), 3, smoothing=0.0)
    mixed, target = mixup(pixels, hard, alpha=1.0)
    torch.testing.assert_close(target.sum(dim=1), torch.ones(3))
    torch.testing.assert_close(mixed[:, 0, 0, 0], target @ torch.arange(3.0))  # pictures and targets alike
    assert mixup(pixels, hard, alpha=0.0)[0] is pixels
    assert mixup(pixels[:1], hard[:1], alpha=1.0)[1].equal(hard[:1])


def test_smoothing_and_mixup_are_for_training_alone(few: Path) -> None:
    prepared = prepare(few, mixup=0.5, label_smoothing=0.1, augment="symbols")
    examples = prepared.splits.train.examples[::9]
    plain, learned = (prepared.task.preprocess(examples, training=training) for training in (False, True))
    assert plain.target.max(dim=1).values.eq(1).all()
    assert learned.target.max() <= 0.95
    torch.testing.assert_close(learned.target.sum(dim=1), torch.ones(len(examples)))
    assert not torch.equal(plain.pixels, learned.pixels)


@pytest.mark.parametrize("kind", ["symbols", "photos"])
@pytest.mark.parametrize("channels", [1, 3])
def test_augmentation_keeps_shape_and_range(kind: str, channels: int) -> None:
    torch.manual_seed(0)
    pixels = torch.rand(4, channels, 24, 24)
    changed = augmentation(kind, 24, channels)(pixels)
    assert changed.shape == pixels.shape
    assert changed.min() >= -1e-4
    assert changed.max() <= 1 + 1e-4
    assert (changed - pixels).abs().mean() > 0.01


# -- runs --------------------------------------------------------------------------------------------------------------


def test_a_second_run_in_the_same_folder_is_refused(few: Path, tmp_path: Path) -> None:
    train(tmp_path / "run", few, max_steps=1)
    before = (tmp_path / "run" / "best" / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match=r"already holds a run.*--resume"):
        train(tmp_path / "run", few, max_steps=1)
    assert (tmp_path / "run" / "best" / "model.safetensors").read_bytes() == before


def test_what_cannot_be_continued(few: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run to continue"):
        train(tmp_path / "none", few, resume=True)
    train(tmp_path / "run", few, max_steps=1)
    with pytest.raises(UserError, match=r"began with --lr 0\.001, not 0.5"):
        train(tmp_path / "run", few, max_steps=1, lr=0.5, resume=True)
    with pytest.raises(UserError, match="began with --data"):
        train(tmp_path / "run", tmp_path, max_steps=1, resume=True)


# -- our own checkpoints -----------------------------------------------------------------------------------------------


@pytest.fixture
def best(digit_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(digit_run / "best", tmp_path / "best"))


def test_saved_and_loaded_is_the_same(digit_run: Path, best: Path) -> None:
    pixels = torch.randn(2, 1, 16, 16)
    with torch.inference_mode():
        assert torch.equal(load(digit_run).network(pixels), load(best).network(pixels))
    assert load(best).origin.sha256 == pretrained.weights_sha256(best)


@pytest.mark.parametrize("name", ["model.safetensors", "novelty.safetensors"])
def test_damaged_files(name: str, best: Path) -> None:
    content = bytearray((best / name).read_bytes())
    content[-2] ^= 1
    (best / name).write_bytes(bytes(content))
    with pytest.raises(UserError, match=f"{name} does not have the sha256"):
        load(best)
    (best / name).write_bytes(bytes(content[:-9]))
    with pytest.raises(UserError, match=r"bytes where .* are expected"):
        load(best)
    (best / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing"):
        load(best)


def test_a_changed_config(best: Path) -> None:
    text = (best / "config.json").read_text()
    (best / "config.json").write_text(text.replace('"depth": 2', '"depth": 1'))
    with pytest.raises(UserError, match=r"config\.json does not have the sha256"):
        load(best)


def reseal(folder: Path, **changes: Any) -> None:
    """Change the config and make the manifest agree, as another program could."""
    from tsuite.core import checkpoint

    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    (folder / "manifest.json").unlink()
    checkpoint._seal(folder)


def test_a_checkpoint_of_another_model(best: Path) -> None:
    reseal(best, name="text.other")
    with pytest.raises(UserError, match=r"is a checkpoint of text\.other, not of vision\.vit.*tsuite run text\.other"):
        load(best)


@pytest.mark.parametrize("changes", [{"labels": None}, {"config": {"dimm": 3}}, {"preprocessing": {"size": 3}}])
def test_an_incomplete_config(changes: dict[str, Any], best: Path) -> None:
    reseal(best, **changes)
    with pytest.raises(UserError, match=r"incomplete|no field 'dimm'"):
        load(best)
