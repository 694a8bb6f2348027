from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from hopscope.errors import SettingRefused
from hopscope.lab.settings import offload
from support.fakes import fake_host


class TestOffload:
    SHOWN = "Features for eth0:\nrx-checksumming: on\ntx-checksumming: off\n\ttx-checksum-ipv4: off [fixed]\n"

    def test_features_are_parsed_fixed_or_not(self) -> None:
        parsed = offload.parse_features(self.SHOWN + "large-receive-offload: off [fixed]\n")
        assert parsed == {
            "rx-checksumming": True,
            "tx-checksumming": False,
            "tx-checksum-ipv4": False,
            "large-receive-offload": False,
        }

    def test_undo_brings_back_what_went_with_it(self, tmp_path: Path) -> None:
        """Turning checksums off turns segmentation off, and turning them on does not turn it on."""
        state = {"tx": True, "tso": True}

        def answer(argv: Sequence[str], stdin: bytes | None) -> str:
            if argv[1] == "-K":
                words = dict(zip(argv[3::2], argv[4::2], strict=True))
                state.update({name: words[name] == "on" for name in state if name in words})
                state["tso"] = state["tso"] and state["tx"]
            return "".join(f"{offload.FEATURES[name]}: {'on' if on else 'off'}\n" for name, on in state.items())

        executor = fake_host(tmp_path, answer)
        setting = offload.Offload("client", "eth0", {"tx": False})
        setting.apply(executor)
        assert setting.verify(executor) == "tx=off"
        assert state == {"tx": False, "tso": False}
        setting.undo(executor)
        assert state == {"tx": True, "tso": True}

    def test_a_feature_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        executor = fake_host(tmp_path, lambda argv, stdin: self.SHOWN)
        setting = offload.Offload("client", "eth0", {"tx": False, "lro": True})
        setting.apply(executor)
        with pytest.raises(SettingRefused) as caught:
            setting.verify(executor)
        assert caught.value.evidence == "wanted: lro=on tx=off\nseen:   tx=off"
