"""The report: its numbers by hand, what is left out or marked, hostile names, and the pages in a browser."""

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.errors import RunError, UsageError
from utils.escape import csv_cell, printable
from utils.hpo.trials import Trial
from utils.metrics import GROUPS
from utils.report import figures
from utils.report.__main__ import MARKER, build, main
from utils.report.sources import command, judged, samples_of, suspects

HOSTILE = "<script>document.title='pwned'<script>"
CHROMEDRIVER = Path("/usr/bin/chromedriver")
DATA = {
    "train": {"size": 3000, "effective_nratio": 0.0883, "effective_bratio": None},
    "valid": {"size": 750},
    "test": {"size": 4500},
}
SHARE, MASS = (
    dict(zip(GROUPS, (0.8, 0.1, 0.08, 0.02), strict=True)),
    dict(zip(GROUPS, (0.4, 0.5, 0.04, 0.06), strict=True)),
)

WORTH = dict(zip(GROUPS, (700.0, 86.4, 12.0, 3.0), strict=True))


def result_of(accuracy, seconds=30.0, best_by="valid_accuracy", **changed):
    scores = dict.fromkeys(("test_accuracy", "test_aligned", "test_conflicting", "test_worst_group"), accuracy)
    scores |= {"valid_accuracy": 0.5} | changed
    stage = {"method": "gce", "hparams": {"q": 0.7}, "settings": {"lr": 0.05}, "seconds": seconds / 2}
    return {
        "end": scores | {"epoch": 3},
        "best": {key: None if value is None else value / 2 for key, value in scores.items()} | {"epoch": 2},
        "best_by": best_by,
        "data": DATA,
        "presets": [],
        "stages": [{**stage, "method": "deneb", "share": SHARE, "mass": MASS, "effective": WORTH}, stage],
        "seconds": seconds + 5,
        "peak_memory_bytes": 2e8,
    }


def write_run(folder, result=None, arguments=None, environment=None):
    folder.mkdir(parents=True)
    config = {"arguments": {"alg": "gce", "seed": 0, "q": 0.7} | (arguments or {}), "environment": environment or {}}
    (folder / "config.json").write_text(json.dumps(config))
    lines = [
        {"stage": stage, "method": "gce", "epoch": epoch}
        | ({} if stage == epoch == 2 else {"test_accuracy": 0.2 * epoch, "test_conflicting": None})
        for stage in (1, 2)
        for epoch in (1, 2, 3)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if result:
        (folder / "result.json").write_text(json.dumps(result))
    return folder


def write_samples(folder):
    header = (
        "index,file,given_label,true_label,bias_label,group,score,sampling_probability,prejudice_loss,"
        "clean_aligned_probability,entropy,predicted_label,given_label_confidence"
    )
    rows = [
        f"0,a.png,cat,cat,cat,{GROUPS[0]},0.1,,0.3,,0.1,cat,0.9",
        f"1,b.png,cat,cat,dog,{GROUPS[1]},0.9,,0.2,,0.9,cat,0.8",
        f"2,c.png,cat,dog,dog,{GROUPS[2]},0.2,,0.8,,,dog,0.05",
        "3,<b>.png,dog,,,,0.3,,0.1,,0.3,cat,0.01",
    ]
    (folder / "samples.csv").write_text("\n".join([header, *rows]) + "\n")


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    """Two data sets; seeds, run names, unfinished and oracle runs, a search, figures and samples."""
    log = tmp_path_factory.mktemp("report") / "log"
    home = log / "toy" / "gce" / "0.1_0.05"
    first = write_run(home / "0", result_of(0.5), environment={"command": "train_mix.py --alg gce", "torch": "2.14"})
    write_run(home / "1", result_of(0.7, seconds=40.0))
    write_run(home / "2")
    write_run(home / f"0_{HOSTILE}", result_of(0.9, seconds=1000.0), {"q": 0.9})
    write_run(home / "0_oracle", result_of(0.99, best_by="test_accuracy"))
    for seed, accuracy in enumerate((0.6, 0.5)):
        result = result_of(accuracy, test_aligned=None, test_worst_group=None)
        write_run(log / "toy" / "lff" / "0.1_0.05" / str(seed), result)
    write_run(log / "toy" / "sce" / "0.1_0.05" / "0")
    write_run(log / "other" / "gce" / "0.0_given" / "0", result_of(1.0))
    write_samples(first)
    (first / "figures").mkdir()
    Image.new("RGB", (1200, 300), "white").save(first / "figures" / "samples.png")
    search = write_run(home / "preset", None, {"best_by": "valid_accuracy"})
    trials = [
        Trial(0, {"q": 0.1}, "finished", curve=[0.2, 0.3], details={"test_accuracy": 0.25}),
        Trial(1, {"q": 0.5}, "finished", curve=[0.2, 0.4], details={"test_accuracy": None}),
        Trial(2, {"q": 0.9}, "failed", error="the loss is not a number"),
    ]
    (search / "trials.jsonl").write_text("".join(json.dumps(vars(trial)) + "\n" for trial in trials))
    write_run(home / "trials" / "123456789012", result_of(0.999))
    write_run(log / "toy" / "selectors" / "deneb-0123", None)
    return log


@pytest.fixture(scope="module")
def report(log_dir):
    before = sorted((path, path.stat().st_mtime_ns) for path in log_dir.rglob("*"))
    build(log_dir, log_dir.parent / "report", overwrite=False)
    assert sorted((path, path.stat().st_mtime_ns) for path in log_dir.rglob("*")) == before
    assert sorted(path.name for path in log_dir.parent.iterdir()) == ["log", "report"]
    return log_dir.parent / "report"


class Rows(HTMLParser):
    """The text of every table's cells, and of those in bold; everything outside of tables as one text."""

    def __init__(self, path):
        super().__init__()
        self.rows, self.bold, self.text, self.inside, self.strong = [], [], "", False, False
        self.links = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True
        self.strong = self.strong or tag == "strong"
        self.links += [value for name, value in attributes if name in ("href", "src")]

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.inside = False
            self.rows[-1][-1] = " ".join(self.rows[-1][-1].split())
        self.strong = self.strong and tag != "strong"

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data
            if self.strong:
                self.bold.append(data)
        else:
            self.text += data

    def row(self, start):
        [found] = [row for row in self.rows if row[0] == start]
        return [cell.replace(" ", "") for cell in found[1:]]


def page(report, title):
    [found] = [path for path in report.glob("*.html") if f"<title>{title}</title>" in path.read_text(encoding="utf-8")]
    return found


def test_means_and_deviations_over_finished_seeds(report):
    index = Rows(report / "index.html")
    assert index.row("gce 1 unfinished") == [
        "2", *["60.0±14.1"] * 4, *["30.0±7.1"] * 4, "35",
    ]  # fmt: skip


def test_missing_groups_are_not_zero(report):
    assert Rows(report / "index.html").row("lff") == [
        "2", *["55.0±7.1", "n/a"] * 2, *["27.5±3.5", "n/a"] * 2, "30",
    ]  # fmt: skip


def test_the_best_is_bold_among_those_with_the_most_seeds(report):
    assert Rows(report / "index.html").bold == ["60.0"] * 2 + ["30.0"] * 2
    # gce is better than lff in unbiased and conflicting accuracy; alone in the others; one seed has 90.0


def test_unfinished_runs_are_marked(report):
    index = Rows(report / "index.html")
    assert index.row("sce 1 unfinished") == ["0", *["\u2013"] * 8, ""]
    assert "6 finished runs, 2 unfinished, 3 trials of searches" in index.text
    assert "last saved: epoch 3 of stage 2" in Rows(page(report, "sce on toy")).text


def test_oracles_are_named_and_in_no_table(report):
    index = Rows(report / "index.html")
    assert "toy/gce/0.1_0.05/0_oracle" in index.text
    assert not any("oracle" in cell or "99" in cell for row in index.rows for cell in row)


def test_hostile_names_are_text(report):
    for path in report.glob("*.html"):
        assert path.read_text(encoding="utf-8").count("<script>") == 1  # the report's own
        assert "<b>.png" not in path.read_text(encoding="utf-8")
    assert f"gce ({HOSTILE})" in [row[0] for row in Rows(report / "index.html").rows]


def test_links_lead_to_files_of_the_report(report):
    for path in report.glob("*.html"):
        for link in Rows(path).links:
            assert link.startswith(("#", "data:")) or (report / link).is_file(), link


def test_a_page_tells_what_is_sampled_and_which_labels_are_suspicious(report):
    mine = Rows(page(report, "gce on toy"))
    assert mine.row(GROUPS[1]) == ["10.00±0.00", "", "50.00±0.00", "", "\u00d75.00", "86"]
    suspicious = [row for row in mine.rows if row[-1].endswith(".png")]
    assert suspicious == [
        ["3", "0.01", "dog", "cat", "unknown", "unknown", "<b>.png"],
        ["2", "0.05", "cat", "dog", "dog", GROUPS[2], "c.png"],
    ]
    assert "python train_mix.py --alg gce\n" in mine.text + "\n"
    assert "python train_mix.py --alg gce --seed 0 --q 0.7" in mine.text  # of seed 1, which has no record of it
    assert any(link.endswith(".png") for link in mine.links)


def test_a_search_has_a_page_with_a_figure_per_hyper_parameter(report):
    search = Rows(next(report.glob("*gce-preset-sweep*.html")))
    assert [row for row in search.rows if len(row) == 4][1:] == [
        ["1", "0.4000", "n/a", "0.5"], ["0", "0.3000", "25.0", "0.1"], ["2", "failed", "n/a", "0.9"],
    ]  # fmt: skip
    assert sum(link.endswith(".svg") for link in search.links) == 2 * 2  # progress and q, each as a link and an image
    runs = Rows(next(report.glob("*gce-runs-sweep*.html")))
    assert [row[-1] for row in runs.rows[1:]] == ["0.7", "0.9", "0.7"]


def test_scores_are_judged_where_groups_are_known(tmp_path):
    write_samples(tmp_path)
    samples = samples_of(tmp_path)
    assert {key: (truth.tolist(), score.tolist()) for key, (truth, score) in judged(samples, "noisy").items()} == {
        "prejudice_loss": ([False, False, True], [0.3, 0.2, 0.8]),  # the one noisy sample has no entropy
    }
    assert set(judged(samples, "conflicting")) == {"entropy", "prejudice_loss"}


def test_older_runs_have_a_selection_only(tmp_path):
    assert samples_of(tmp_path) is None
    np.savez(tmp_path / "selection.npz", group=np.array([0, 1, 2, -1]), score=np.array([0.1, 0.9, 0.5, np.nan]))
    samples = samples_of(tmp_path)
    [(key, (truth, score))] = judged(samples, "conflicting").items()
    assert (key, truth.tolist(), score.tolist()) == ("score", [False, True], [0.1, 0.9])
    assert suspects(samples) == []


def test_a_command_that_was_not_recorded_is_made_of_the_arguments():
    arguments = {"alg": "a b", "resampling": True, "clean_valid": True, "sync_bn": False, "bratio": None, "referee": {}}
    assert command({"arguments": arguments}) == (
        "python train_mix.py --alg 'a b' --resampling true --clean_valid",
        False,
    )
    recorded = {"arguments": {}, "environment": {"command": "torchrun --nproc_per_node=2 train_mix.py"}}
    assert command(recorded) == ("torchrun --nproc_per_node=2 train_mix.py", True)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"end": {}, "best_by": "valid_accuracy", "presets": []}'])
def test_a_damaged_result_is_named_in_one_line(tmp_path, capsys, content):
    folder = write_run(tmp_path / "log" / "toy" / "gce" / "0.1_0.05" / "0")
    (folder / "result.json").write_text(content)
    assert main([str(tmp_path / "log"), "-o", str(tmp_path / "report")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert str(folder) in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("result.json", "{}"), ("config.json", "[]"), ("metrics.jsonl", "{"), ("metrics.jsonl", '{"epoch": 1}'),
        ("metrics.jsonl", '{"stage": 1, "method": "gce", "epoch": 1e9}'), ("metrics.jsonl", "\x00"),
        ("samples.csv", "index\n"), ("selection.npz", "PK"), ("figures/x.png", "no image"), ("trials.jsonl", "[1]"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_and_the_rest_is_reported(tmp_path, capsys, name, content):
    home = tmp_path / "log" / "toy" / "gce" / "0.1_0.05"
    write_run(home / "0", result_of(0.5))
    folder = write_run(home / ("preset" if name == "trials.jsonl" else "1"), result_of(0.7))
    (folder / "figures").mkdir()
    (folder / name).write_text(content)
    assert main([str(tmp_path / "log"), "-o", str(tmp_path / "report")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert str(folder) in said
    assert said.count("\n") == 1
    index = Rows(tmp_path / "report" / "index.html")
    assert str(folder) in index.text
    assert index.row("gce")[:2] == (["1", "50.0"] if name.endswith(".json") or "trials" in name else ["2", "60.0±14.1"])


def test_settings_and_data_that_differ_are_not_averaged(tmp_path):
    log = tmp_path / "log"
    home = Path("toy") / "gce" / "0.1_0.05"
    longer, other = result_of(0.9), result_of(0.1)
    longer["stages"][1]["settings"] = {"lr": 0.01}
    other["data"] = {**DATA, "test": {"size": 9}, "origin": "elsewhere"}
    for place, seed, result in (("a", 0, result_of(0.5)), ("a", 1, result_of(0.7)), ("b", 2, longer), ("c", 3, other)):
        write_run(log / place / home / str(seed), result)
    write_run(log / "copy" / home / "0", result_of(0.0))
    count, complaints = build(log, tmp_path / "report", overwrite=False)
    assert (count, complaints) == (5, [])
    index = Rows(tmp_path / "report" / "index.html")
    assert [row[:3] for row in index.rows if row[0].startswith("gce")] == [
        ["gce (second.lr=0.01)", "1", "90.0"], ["gce (second.lr=0.05)", "2", "60.0 ± 14.1"], ["gce", "1", "10.0"],
    ]  # fmt: skip
    assert "gce (second.lr=0.05): seed 0 is there 2 times" in index.text
    assert "elsewhere" in index.text


def test_classes_and_their_confusions_are_shown(tmp_path):
    classes = {
        "names": ["under_$5", "<b>"], "train": [10, 90], "valid": [1, 9], "test": [10, 10], "train_predicted": [0, 100],
        "valid_accuracy": [None, 1.0], "test_accuracy": [0.2, 1.0],
    }  # fmt: skip
    for seed in range(2):
        result = {**result_of(0.5), "per_class": classes, "confusion": [[2, 8], [0, 10]], "warnings": ["few images"]}
        write_run(tmp_path / "log" / "toy" / "gce" / "0.1_0.05" / str(seed), result)
    build(tmp_path / "log", tmp_path / "report", overwrite=False)
    mine = Rows(page(tmp_path / "report", "gce on toy"))
    assert mine.row("1 under_$5") == ["10", "1", "10", "n/a", "20.0±0.0", "4", "16"]
    assert mine.row("2 <b>") == ["90", "9", "10", "100.0±0.0", "100.0±0.0", "0", "20"]
    assert "few images" in mine.text


def test_a_figure_that_cannot_be_made_costs_a_line(tmp_path, capsys, monkeypatch):
    write_run(tmp_path / "log" / "toy" / "gce" / "0.1_0.05" / "0", result_of(0.5))

    def fails(*arguments):
        raise ValueError("mathematics\nin many lines")

    monkeypatch.setattr(figures, "overview", fails)
    assert main([str(tmp_path / "log"), "-o", str(tmp_path / "report")]) == 1
    assert capsys.readouterr().err.startswith("error: cannot draw Aligned, unbiased")
    assert "50.0" in (tmp_path / "report" / "index.html").read_text()


@pytest.mark.parametrize(
    "name", ["$x_1^2$", r"\frac{", "caf\udce9", "two\nlines", "犬" * 40, "🐕", "=1", "<b>", "'\"&"]
)
def test_any_name_is_reported(tmp_path, name):
    folder = tmp_path / "log" / f"toy {name}" / name / "0.1_0.05"
    write_run(folder / f"0_{name}", result_of(0.5), {"q": name}, {"command": f"train_mix.py {name}"})
    first = write_run(folder / "1", result_of(0.5), {"q": 1}, {"git": name})
    write_samples(first)
    text = (first / "samples.csv").read_text().replace("cat", csv_cell(name.replace("\n", " ").replace('"', "")))
    (first / "samples.csv").write_text(text, encoding="utf-8", errors="surrogateescape")
    assert build(tmp_path / "log", tmp_path / "report", overwrite=False) == (2, [])
    for path in (tmp_path / "report").rglob("*.html"):
        assert "<b> on" not in path.read_text(encoding="utf-8")
    shown = [row[0] for row in Rows(tmp_path / "report" / "index.html").rows]
    assert " ".join(printable(f"{name} ({name})").split()) in shown


def test_there_must_be_a_log_folder_with_runs(tmp_path):
    with pytest.raises(UsageError, match="there is no log folder"):
        build(tmp_path / "log", tmp_path / "report", False)
    (tmp_path / "log").mkdir()
    with pytest.raises(RunError, match="there are no runs below"):
        build(tmp_path / "log", tmp_path / "report", False)


def test_only_reports_are_replaced(log_dir, tmp_path, monkeypatch):
    log, target = tmp_path / "log", tmp_path / "report"
    shutil.copytree(log_dir / "other", log / "other")
    target.mkdir()
    (target / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="not a report"):
        build(log, target, overwrite=False)
    assert (target / "thesis.tex").read_text() == "mine"
    build(log, target, overwrite=True)
    assert not (target / "thesis.tex").exists()
    (target / "old.html").touch()
    build(log, target, overwrite=False)  # a report of ours
    assert (target / MARKER).exists()
    assert not (target / "old.html").exists()
    monkeypatch.chdir(tmp_path)
    for place in (log, log / "report", tmp_path):
        with pytest.raises(UsageError):
            build(log, place, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "report"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Debian's Chromium without a window; skips where it, its driver or selenium is absent."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    if not CHROMEDRIVER.exists():
        pytest.skip(f"there is no {CHROMEDRIVER}: apt-get install chromium chromium-driver")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync", f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(CHROMEDRIVER)))
    yield driver
    driver.quit()


def column(browser, title, moment=0):
    """The texts of a column of the last table with that title, from top to bottom, without deviations."""
    return browser.execute_script(
        """const table = [...document.querySelectorAll("table.sortable")].at(-1);
        const heads = [...table.tHead.rows[1].cells];
        const place = heads.indexOf(heads.filter(head => head.innerText.trim() === arguments[0])[arguments[1]]);
        return [...table.tBodies[0].rows].map(row => row.cells[place].innerText.split("±")[0].trim());""",
        title,
        moment,
    )


def test_columns_are_sorted_by_a_click_or_a_key(browser, report):
    from selenium.webdriver.common.by import By

    browser.get((report / "index.html").as_uri())
    before = column(browser, "seconds")
    head = browser.find_elements(By.XPATH, "//th[contains(., 'seconds')]")[-1]
    button = head.find_element(By.TAG_NAME, "button")
    button.click()
    assert column(browser, "seconds") == ["1000", "35", "30", ""] != before  # as numbers, what is missing last
    assert head.get_attribute("aria-sort") == "descending"
    button.send_keys("\ue007")  # Enter
    assert column(browser, "seconds") == ["30", "35", "1000", ""]
    assert head.get_attribute("aria-sort") == "ascending"
    browser.find_elements(By.XPATH, "//th[contains(., 'method')]//button")[-1].click()
    assert column(browser, "method")[0].startswith("gce")
    assert head.get_attribute("aria-sort") is None


@pytest.mark.parametrize("width", [390, 1280])
def test_pages_show_their_images_and_fit(browser, report, width):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    browser.get_log("browser")
    for path in sorted(report.glob("*.html")):
        browser.get(path.as_uri())
        browser.execute_script("for (const part of document.querySelectorAll('details')) part.open = true")
        broken = browser.execute_async_script(
            """const done = arguments[0], images = [...document.images];
            for (const image of images) image.loading = "eager";
            Promise.allSettled(images.map(image => image.decode()))
                .then(() => done(images.filter(image => !image.naturalWidth).map(image => image.src)));"""
        )
        assert broken == []
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, path.name
        assert browser.title != "pwned"
    assert browser.get_log("browser") == []
