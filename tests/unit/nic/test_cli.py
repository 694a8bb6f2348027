from __future__ import annotations

import pytest

from hopscope_nic import __version__, cli
from hopscope_nic.cli import main
from hopscope_nic.core.limits import Link


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "required"),
        (["router", "--placement", "stamp"], "invalid choice"),
        (["clientnic"], "--placement"),
        (["servernic", "--placement", "hold"], "servernic runs nothing"),
        (["clientnic", "--placement", "hold", "--flow", "udp:53"], "--flow 'udp:53' is no flow"),
        (["clientnic", "--placement", "hold", "--mss", "40"], "--mss 40: clientnic alone"),
        (["servernic", "--placement", "stamp", "--mss", "660"], "--mss 660: clientnic alone"),
        (["clientnic", "--placement", "hold", "--client-port", "10.1.0.0/99"], "--client-port 10.1.0.0/99"),
    ],
)
def test_a_command_line_that_cannot_be_followed(argv, words, capsys):
    assert main(argv) == 64
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.startswith("hopscope_nic: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_an_interface_that_does_not_exist(capsys):
    assert main(["clientnic", "--placement", "hold", "--client-port", "nosuch0"]) == 2
    assert "--client-port nosuch0: no such interface; here: " in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(("asked", "promised"), [(None, 1460), (660, 660), (9000, 1460)])
@pytest.mark.parametrize("placement", ["stamp", "hold"])
def test_the_largest_segment_that_clients_are_promised(placement, asked, promised):
    argv = ["clientnic", "--placement", placement] + ([] if asked is None else ["--mss", str(asked)])
    assert cli._machine(cli._parser().parse_args(argv), (Link(1500), Link(1500)), None).mss == promised
