"""What only an interpreter of its own shows: start-up, missing packages, closed streams."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import SMALL, fresh, succeed

from sunspring.cli.main import COMMANDS

WITHOUT_TORCH = "import sys; sys.modules['torch'] = None\n"
WITHOUT_TOKENIZERS = "import sys; sys.modules['tokenizers'] = None\n"


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell in which `sunspring` is the command."""
    line = command.replace("sunspring", f"{shlex.quote(sys.executable)} -m sunspring")
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, timeout=120
    )


class TestStarting:
    def test_for_help_imports_neither_torch_nor_numpy(self) -> None:
        program = (
            "import sys; sys.argv[1:] = ['--help']\n"
            "from sunspring.cli.main import main\n"
            "try:\n    main()\n"
            "finally:\n    print({'torch', 'numpy', 'tokenizers'} & sys.modules.keys())"
        )
        done = fresh("-c", program)
        assert done.returncode == 0
        assert done.stdout.endswith("set()\n")
        for command in ("train", "write", "evaluate", "doctor"):
            assert f"\n  {command} " in done.stdout

    def test_as_a_module_or_as_a_script_is_the_same(self) -> None:
        script = Path(sys.executable).parent / "sunspring"
        done = subprocess.run([script, "doctor", "--help"], capture_output=True, text=True)
        module = fresh("-m", "sunspring", "doctor", "--help")
        assert done.returncode == module.returncode == 0
        assert "Show what this machine can do" in done.stdout
        assert done.stdout.partition("doctor")[2] == module.stdout.partition("doctor")[2]

    def test_without_a_command_shows_the_help(self) -> None:
        done = fresh("-m", "sunspring")
        assert done.returncode == 2
        assert "Usage: " in done.stdout + done.stderr

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_and_every_option_is_explained(self, command: str) -> None:
        shown = succeed(command, "--help").out
        usage, _, first, *_ = shown.splitlines()
        assert usage.startswith(f"Usage: sunspring {command} [OPTIONS]")
        assert first.endswith(".")
        assert f"\n  {command:<8}{first}\n" in succeed("--help").out
        # an option, its value where it takes one, and a sentence on this line or the next
        options = re.findall(r"^  (--[a-z-]+)(?: [^ ]+)?\s+(\S.+)", shown, re.MULTILINE)
        assert {name for name, _ in options} == {
            *re.findall(r"^  (--[a-z-]+)", shown, re.MULTILINE)
        }
        assert all(help[0].isupper() for _, help in options)
        assert ("--help", "Show this message and exit.") in options

    def test_help_has_a_section_for_each_kind_of_setting(self) -> None:
        def sections(command: str) -> list[str]:
            shown = succeed(command, "--help").out
            return re.findall(r"^(\S.*):$", shown, re.MULTILINE)

        reading = ("How the text is read", "How a file becomes text")
        assert sections("train") == [
            *("Arguments", "Options", "When the training ends", *reading),
            "What the network reads and writes",
        ]
        assert sections("write") == [
            *("Arguments", "Options", "What a text must have, and what it must not have"),
            *("How the next token is drawn", reading[1]),
        ]
        assert sections("evaluate") == ["Arguments", "Options", *reading]
        assert sections("doctor") == ["Options"]

    def test_help_says_defaults_ranges_and_what_is_required(self) -> None:
        shown = " ".join(succeed("write", "--help").out.split())
        assert "MODEL A model folder, a run, or the name of a bundled model. [required]" in shown
        assert "--length INTEGER How many characters to write at most. [default: 500; at" in shown
        assert "[default: random; at least 0 and below 2**63]" in shown
        assert "--engine [auto|native|torch]" in shown
        assert "--out PATH Folder for the quantized model. [required]" in " ".join(
            succeed("quantize", "--help").out.split()
        )

    @pytest.mark.parametrize(
        "arguments",
        [
            ["train"],
            ["evaluate"],
            ["write", "--engine", "torch"],
            ["write", "--mixture"],
        ],
        ids=" ".join,
    )
    def test_without_torch_says_how_to_install_it(
        self, trained: Path, arguments: list[str]
    ) -> None:
        command, *options = arguments
        model = [str(trained)] if command in ("evaluate", "write") else []
        words = [command, *model, *options]
        call = f"sys.argv[1:] = {words}\nfrom sunspring.cli.main import main\nmain()"
        done = fresh("-c", WITHOUT_TORCH + call)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            "sunspring: this command needs an extra: pip install 'sunspring[train]'\n"
        )

    def test_without_torch_doctor_looks_at_the_rest(self) -> None:
        call = "sys.argv[1:] = ['doctor', '--json']\nfrom sunspring.cli.main import main\nmain()"
        done = fresh("-c", WITHOUT_TORCH + call)
        assert (done.returncode, done.stderr) == (0, "")
        report = json.loads(done.stdout)
        assert report["engine"] == "native"
        assert report["speeds"]["writing"] > 0
        assert "bf16" not in report

    def test_without_tokenizers_subwords_say_how_to_install_them(self, english: Path) -> None:
        options = ["--tokens", "subwords", "--out", "run", "--steps", "1"]
        call = f"sys.argv[1:] = {['train', str(english), *options]}\n"
        call += "from sunspring.cli.main import main\nmain()"
        done = fresh("-c", WITHOUT_TOKENIZERS + call)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == (
            "sunspring: a vocabulary of subwords needs an extra: pip install 'sunspring[subwords]'"
        )

    @pytest.mark.parametrize("options", [[], ["--count", "9", "--unique", "--novel", "--json"]])
    def test_to_write_needs_no_torch(self, trained: Path, options: list[str]) -> None:
        arguments = ["write", str(trained), "--length", "20", "--seed", "1", *options]
        call = f"sys.argv[1:] = {arguments}\nfrom sunspring.cli.main import main\nmain()"
        done = fresh("-c", WITHOUT_TORCH + call)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == fresh("-m", "sunspring", *arguments).stdout or options

    def test_the_whole_way_by_the_shell(self, english: Path) -> None:
        options = shlex.join((*SMALL, "--steps", "5"))
        train = f"cat {shlex.quote(str(english))} | sunspring train - --out run --json {options}"
        done = shell(f"{train} 2> progress")
        assert done.returncode == 0
        assert json.loads(done.stdout)["run"] == "run"
        assert "100%" in Path("progress").read_text()


class TestStreams:
    def test_that_nobody_reads_end_the_writing_quietly(self, trained: Path) -> None:
        for options in ("--length 100000", "--count 300 --length 500", "--count 50 --json"):
            done = shell(
                f"sunspring write {shlex.quote(str(trained))} {options} | head -c 10 | wc -c"
            )
            assert int(done.stdout) == 10
            assert done.stderr == ""

    def test_that_are_closed_take_everything(self, trained: Path) -> None:
        run = shlex.quote(str(trained))
        for closed in (">&-", "2>&-", "<&-", ">&- 2>&- <&-"):
            done = shell(f"sunspring write {run} --length 5 --prompt na\u00efve {closed}")
            assert done.returncode == 0
            assert "Traceback" not in done.stderr
            assert len(done.stdout) == (0 if ">&-" in closed.replace("2>&-", "") else 10)

    def test_are_utf_8_whatever_the_locale(self, trained: Path) -> None:
        Path("text.txt").write_text("\u00e9\u0416\u4e2d " * 200, encoding="utf-8")
        options = shlex.join((*SMALL, "--steps", "2"))
        environment = {**os.environ, "LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0"}
        environment |= {"PYTHONUTF8": "0", "PYTHONIOENCODING": ""}
        train = f"{sys.executable} -m sunspring train text.txt --out run {options}"
        write = f"{sys.executable} -m sunspring write run --length 20"
        done = subprocess.run(
            ["bash", "-c", f"{train} && {write}"], capture_output=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.decode()) == 20

    def test_full_of_disk_is_an_error(self, trained: Path) -> None:
        done = shell(f"sunspring write {shlex.quote(str(trained))} --json > /dev/full")
        assert done.returncode == 1
        assert done.stderr.startswith("sunspring: No space left on device: ")
        assert done.stderr.count("\n") == 1
