"""Signatures: what a forger of recordings can do without the key, and what not."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import call_writer
import writer
from folders import newest
from rparity import files, paths, recordings, signing
from rparity.cli import main
from rparity.commands import AGREE, UNUSABLE
from rparity.doctor import _trust, examine
from rparity.engines import kept_answers
from rparity.errors import RecordingError, UsageError, install
from rparity.parity import store

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch
CASE, ENGINE = "norris", "lm"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two pairs of keys, `ours` and `other`."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "other"):
        signing.write_key(folder / name)
    return folder


@pytest.fixture
def trust(keys: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv(signing.TRUST, str(keys / "ours.pub"))


@pytest.fixture
def fixtures(tmp_path: Path) -> Path:
    """A copy of the recordings of one case, R's and those of an engine."""
    root = tmp_path / "fixtures"
    for folder in (Path(CASE), Path("engines", ENGINE, CASE)):
        shutil.copytree(paths.fixtures() / folder, root / folder)
    return root


@pytest.fixture
def signed(fixtures: Path, keys: Path, capsys: Capture) -> Path:
    """Those recordings, signed with our key."""
    assert seal(keys / "ours", "--fixtures", fixtures, CASE) == AGREE
    assert capsys.readouterr().out == "norris: 6 recordings signed\n"
    return fixtures


def seal(key: Path, *arguments: object) -> int:
    return main(["seal", "--key", str(key), *map(str, arguments)])


def run(fixtures: Path, *arguments: str) -> int:
    return main(["run", CASE, "--fixtures", str(fixtures), *arguments])


def said(capsys: Capture) -> str:
    """Return the one sentence on standard error."""
    err = capsys.readouterr().err
    assert err.startswith("rparity: ")
    assert err.count("\n") == 1
    assert err.endswith(".\n") or err.endswith('"\n')
    return err


def forge(folder: Path, resign: Callable[[dict], dict] = lambda sealed: sealed) -> None:
    """Change R's estimates a little, and make hashes and digest fit, as a forger would."""
    table, path = folder / "lm.coef.csv", folder / recordings.PROVENANCE
    lines = table.read_text().splitlines()
    name, estimate, *rest = lines[1].split(",")
    lines[1] = ",".join([name, f"{float(estimate) * (1 + 4e-16):.17g}", *rest])
    assert "\n".join(lines) != table.read_text().rstrip("\n")
    table.write_text("\n".join(lines) + "\n")
    made = json.loads(path.read_text())
    kept = {files.SIGNATURE: made.pop(files.SIGNATURE, None)}
    del made[files.DIGEST]
    made["tables"][table.name] = files.sha256(table.read_bytes())
    path.write_text(json.dumps(resign({**files.seal(made), **kept})))


# What passes ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("trust")
def test_signed_recordings_pass_in_all_versions_and_copied(signed: Path, tmp_path: Path) -> None:
    assert run(signed, "--against", "all") == AGREE
    copy = shutil.copytree(signed, tmp_path / "copy")
    assert run(copy) == AGREE
    assert main(["versions", CASE, "--fixtures", str(copy)]) == AGREE


@pytest.mark.usefixtures("trust")
def test_any_of_several_keys_will_do(signed: Path, keys: Path, tmp_path: Path) -> None:
    both = (keys / "other.pub").read_bytes() + b"our own:\n" + (keys / "ours.pub").read_bytes()
    (tmp_path / "both.pub").write_bytes(both)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(signing.TRUST, str(tmp_path / "both.pub"))
        assert run(signed) == AGREE


def test_a_key_of_openssl_signs(fixtures: Path, tmp_path: Path, monkeypatch: Patch) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, public = tmp_path / "key.pem", tmp_path / "public.pem"
    for command in (
        ["openssl", "genpkey", "-algorithm", "ed25519", "-out", key],
        ["openssl", "pkey", "-in", key, "-pubout", "-out", public],
    ):
        subprocess.run(command, check=True, capture_output=True)
    assert seal(key, "--fixtures", fixtures, CASE) == AGREE
    monkeypatch.setenv(signing.TRUST, str(public))
    assert run(fixtures) == AGREE


def test_signing_adds_nothing_but_the_signature_in_provenance(
    signed: Path, keys: Path, trust: None
) -> None:
    for path in sorted(signed.rglob("*.*")):
        was = paths.fixtures() / path.relative_to(signed)
        if not path.is_file() or path.read_bytes() == was.read_bytes():
            continue
        assert path.name == recordings.PROVENANCE
        now = json.loads(path.read_text())
        del now[files.SIGNATURE]
        assert now == json.loads(was.read_text())
    before = {path: path.read_bytes() for path in signed.rglob("*.*") if path.is_file()}
    assert seal(keys / "ours", "--fixtures", signed, CASE) == AGREE  # though keys are asked for
    assert {path: path.read_bytes() for path in before} == before


# What does not ----------------------------------------------------------------------------------


def test_a_forgery_passes_only_where_no_signature_is_asked_for(
    signed: Path, capsys: Capture, keys: Path, monkeypatch: Patch
) -> None:
    folder = newest(signed, CASE)
    forge(folder)
    assert run(signed) == AGREE  # a digest shows accidents, not forgery
    capsys.readouterr()
    monkeypatch.setenv(signing.TRUST, str(keys / "ours.pub"))
    assert run(signed) == UNUSABLE
    message = said(capsys)
    assert f"{folder / recordings.PROVENANCE} has no valid signature by a key in" in message
    assert f"or unset {signing.TRUST}" in message


@pytest.mark.usefixtures("trust")
@pytest.mark.parametrize("command", [["run"], ["versions"], ["audit", "--engine", "rparity"]])
def test_every_command_that_reads_recordings_refuses_unsigned_ones(
    fixtures: Path, capsys: Capture, command: list[str]
) -> None:
    assert main([*command, CASE, "--fixtures", str(fixtures)]) == UNUSABLE
    streams = capsys.readouterr()
    assert "is not signed, and RPARITY_TRUST asks for a signature" in " ".join(
        (streams.out + streams.err).split()
    )


@pytest.mark.usefixtures("trust")
def test_a_signature_by_another_key(fixtures: Path, keys: Path, capsys: Capture) -> None:
    assert seal(keys / "other", "--fixtures", fixtures, CASE) == AGREE
    assert run(fixtures) == UNUSABLE
    assert "has no valid signature by a key in" in said(capsys)


@pytest.mark.usefixtures("trust")
@pytest.mark.parametrize("signature", ["", "AAAA", "not base64 at all", "é", 7, None, [], {}])
def test_a_signature_of_garbage(signed: Path, capsys: Capture, signature: object) -> None:
    path = newest(signed, CASE) / recordings.PROVENANCE
    made = json.loads(path.read_text())
    path.write_text(json.dumps(made | {files.SIGNATURE: signature}))
    assert run(signed) == UNUSABLE
    assert f"{path} " in said(capsys)


@pytest.mark.usefixtures("trust")
def test_the_signature_of_another_recording(signed: Path, capsys: Capture) -> None:
    older = recordings.versions(signed, CASE)[1]
    theirs = json.loads((signed / CASE / older / recordings.PROVENANCE).read_text())
    borrowed = {files.SIGNATURE: theirs[files.SIGNATURE]}
    forge(newest(signed, CASE), lambda sealed: sealed | borrowed)
    assert run(signed) == UNUSABLE
    assert "has no valid signature" in said(capsys)


@pytest.mark.usefixtures("trust")
def test_a_signed_recording_is_refused_for_another_case(signed: Path) -> None:
    (signed / CASE).rename(signed / "pontius")
    with pytest.raises(RecordingError, match="holds a recording of 'norris'"):
        recordings.read(signed, "pontius", {})
    for path in signed.glob(f"pontius/*/{recordings.PROVENANCE}"):
        made = json.loads(path.read_text())
        kept = {files.SIGNATURE: made[files.SIGNATURE]}
        rest = {name: made[name] for name in made.keys() - {files.DIGEST, *kept}}
        path.write_text(json.dumps({**files.seal(rest | {"case": "pontius"}), **kept}))
    with pytest.raises(RecordingError, match="has no valid signature"):
        recordings.read(signed, "pontius", {})


@pytest.mark.usefixtures("trust")
def test_a_table_in_the_folder_of_another_version_is_covered(signed: Path, capsys: Capture) -> None:
    versions = recordings.versions(signed, CASE)
    own = {path.name for path in (signed / CASE / versions[-1]).iterdir()}
    (shared, *_) = sorted(
        path for path in (signed / CASE / versions[0]).iterdir() if path.name not in own
    )
    shared.write_bytes(shared.read_bytes().replace(b"1", b"2"))
    assert run(signed, "--against", versions[-1]) == UNUSABLE
    assert f"{signed / CASE / versions[-1] / shared.name} is missing" in said(capsys)


@pytest.mark.usefixtures("trust")
def test_a_signed_answer_is_refused_for_another_engine(signed: Path) -> None:
    from rparity.audit.questions import question_of
    from rparity.cases import case

    question = question_of(case(CASE), signed)
    assert kept_answers.read(signed, ENGINE, question)[1]["engine"] == ENGINE
    (signed / "engines" / ENGINE).rename(signed / "engines" / "nlme")
    with pytest.raises(RecordingError, match="holds an answer of 'lm' instead of nlme"):
        kept_answers.read(signed, "nlme", question)


def test_a_new_recording_drops_only_the_signature_of_its_version(
    tmp_path: Path, keys: Path, trust: None
) -> None:
    key, root = signing.signer(keys / "ours"), tmp_path / "fixtures"
    older = {"made_by": {"packages": {"R": "4.1.0"}}}
    writer.write(root, "old")
    recordings.write(root, writer.CASE, writer.tables("old"), writer.PROVENANCE | older)
    assert len(recordings.sign(root, writer.CASE, key, "")) == 2
    assert writer.whose(root) == "old"
    writer.write(root, "newer")
    with pytest.raises(RecordingError, match="is not signed"):
        writer.whose(root)
    recordings.read(root, writer.CASE, writer.SCRIPTS, version="r4.1.0")


def test_a_signature_does_not_say_that_a_recording_is_the_newest(signed: Path, trust: None) -> None:
    newer, older, *_ = (signed / CASE / label for label in recordings.versions(signed, CASE))
    for path in newer.iterdir():  # the older one's tables that the newer one kept for it
        if not (older / path.name).exists():
            path.rename(older / path.name)
    shutil.rmtree(newer)
    assert run(signed) == AGREE


# What is not signed -----------------------------------------------------------------------------


def test_corrupt_recordings_are_not_signed(fixtures: Path, keys: Path, capsys: Capture) -> None:
    table = newest(fixtures, CASE) / "lm.coef.csv"
    table.write_bytes(table.read_bytes() + b"\n")
    assert seal(keys / "ours", "--fixtures", fixtures, CASE) == UNUSABLE
    assert f"{table} is corrupt" in said(capsys)
    assert not [p for p in fixtures.rglob("*.json") if files.SIGNATURE in p.read_text()]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["pontius"], "There is no recording of 'pontius' in "),
        (["--recordings", "empty"], "There are no recordings of r_parity in empty"),
    ],
)
def test_nothing_to_sign(
    fixtures: Path, keys: Path, capsys: Capture, arguments: list[str], sentence: str
) -> None:
    assert seal(keys / "ours", "--fixtures", fixtures, *arguments) == UNUSABLE
    assert sentence in said(capsys)


# Recordings of calls ----------------------------------------------------------------------------


def test_recordings_of_calls_are_signed_and_verified(
    tmp_path: Path, keys: Path, capsys: Capture, trust: None
) -> None:
    call_writer.write(tmp_path, "old")
    file = call_writer.place(tmp_path).recording(1)
    with pytest.raises(RecordingError, match=r"test_planted\S*\.1\.json is not signed"):
        call_writer.whose(tmp_path)
    assert seal(keys / "ours", "--recordings", tmp_path) == AGREE
    assert capsys.readouterr().out.endswith(": 1 recordings signed\n")
    assert call_writer.whose(tmp_path) == "old"
    # Where R answers the same once more, the signature holds and stays.
    before = file.read_bytes()
    call_writer.write(tmp_path, "old")
    assert file.read_bytes() == before
    document = json.loads(before)
    kept = {files.SIGNATURE: document.pop(files.SIGNATURE)}
    del document[files.DIGEST]
    file.write_text(json.dumps({**files.seal(document | {"time": "newer"}), **kept}))
    with pytest.raises(RecordingError, match="has no valid signature"):
        call_writer.whose(tmp_path)
    call_writer.write(tmp_path, "newer")
    with pytest.raises(RecordingError, match="is not signed"):
        call_writer.whose(tmp_path)


def test_a_corrupt_recording_of_a_call_is_not_signed(tmp_path: Path, keys: Path) -> None:
    call_writer.write(tmp_path, "old")
    file = call_writer.place(tmp_path).recording(1)
    file.write_text(file.read_text().replace("old", "odd"))
    with pytest.raises(RecordingError, match="is corrupt"):
        store.sign(tmp_path, signing.signer(keys / "ours"))


# Keys -------------------------------------------------------------------------------------------


def test_a_new_key_is_readable_by_its_owner_only_and_overwrites_nothing(
    tmp_path: Path, capsys: Capture
) -> None:
    key, public = tmp_path / "key", tmp_path / "key.pub"
    assert main(["seal", "--new-key", str(key)]) == AGREE
    assert str(public) in capsys.readouterr().out
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes(), public.read_bytes()
    for gone in (None, key, public):
        if gone:
            gone.rename(tmp_path / "aside")
        assert main(["seal", "--new-key", str(key)]) == UNUSABLE
        assert "File exists" in said(capsys)
        if gone:
            assert not gone.exists()  # half a pair
            (tmp_path / "aside").rename(gone)
    assert (key.read_bytes(), public.read_bytes()) == before


@cache
def bad_keys(folder: Path) -> dict[str, bytes]:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ours = serialization.load_pem_private_key((folder / "ours").read_bytes(), None)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    locked = serialization.BestAvailableEncryption(b"secret")
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    return {
        "empty": b"",
        "text": b"no key\n",
        "cut": (folder / "ours.pub").read_bytes()[:60],
        "garbage": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "rsa": other.private_bytes(pem, pkcs8, serialization.NoEncryption()),
        "rsa.pub": other.public_key().public_bytes(pem, info),
        "locked": ours.private_bytes(pem, pkcs8, locked),
    }


BAD = ("empty", "text", "cut", "garbage", "rsa", "rsa.pub", "locked")


@pytest.mark.parametrize("name", [*BAD, "ours.pub"])
def test_a_file_that_is_no_private_key(
    keys: Path, tmp_path: Path, capsys: Capture, name: str
) -> None:
    made = {**bad_keys(keys), "ours.pub": (keys / "ours.pub").read_bytes()}
    (tmp_path / name).write_bytes(made[name])
    assert seal(tmp_path / name, CASE) == UNUSABLE
    assert f"{tmp_path / name} is not a private key of Ed25519 in PEM without a" in said(capsys)


@pytest.mark.parametrize("name", [*BAD, "ours"])
@pytest.mark.parametrize("beside", [b"", None])
def test_a_file_without_public_keys_or_with_other_keys(
    keys: Path,
    tmp_path: Path,
    signed: Path,
    capsys: Capture,
    monkeypatch: Patch,
    name: str,
    beside: bytes | None,
) -> None:
    made = {**bad_keys(keys), "ours": (keys / "ours").read_bytes()}
    good = (keys / "ours.pub").read_bytes() if beside is None else beside
    (tmp_path / name).write_bytes(made[name] + good)
    monkeypatch.setenv(signing.TRUST, str(tmp_path / name))
    if beside is None and name in ("empty", "text"):
        assert run(signed) == AGREE  # text beside the keys is none
        return
    assert run(signed) == UNUSABLE
    assert f"{tmp_path / name}, which RPARITY_TRUST names, must hold public keys" in said(capsys)


def test_a_missing_file_of_keys(
    keys: Path, tmp_path: Path, signed: Path, capsys: Capture, monkeypatch: Patch
) -> None:
    nowhere = tmp_path / "nowhere"
    assert seal(nowhere, CASE) == UNUSABLE
    assert f"Cannot read the key {nowhere}: No such file or directory" in said(capsys)
    monkeypatch.setenv(signing.TRUST, str(nowhere))
    for command in (["run", CASE], ["audit", CASE], ["doctor"], ["list"]):
        assert main([*command, "--fixtures", str(signed)]) == UNUSABLE
        assert f"Cannot read the key {nowhere}: No such file or directory" in said(capsys)


def test_without_cryptography_the_command_that_installs_it_is_named(
    keys: Path, signed: Path, capsys: Capture, monkeypatch: Patch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    assert run(signed) == AGREE  # nobody asks for a signature
    capsys.readouterr()
    monkeypatch.setenv(signing.TRUST, str(keys / "ours.pub"))
    for command in (["run", CASE], ["seal", "--key", str(keys / "ours"), CASE]):
        assert main([*command, "--fixtures", str(signed)]) == UNUSABLE
        assert f"need cryptography: {install('sign')}" in said(capsys)


def test_an_empty_setting_asks_for_no_signature(signed: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv(signing.TRUST, "")
    assert signing.trust_file() is None
    with pytest.raises(UsageError, match="Cannot read the key"):
        signing.trusted_keys(signed / "nowhere")


@pytest.mark.usefixtures("trust")
def test_the_doctor_advises_to_sign_unsigned_recordings(fixtures: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("PATH", str(fixtures))  # R takes seconds to start
    monkeypatch.delenv("R_HOME", raising=False)
    found = {check.what: check for check in examine(fixtures)}
    unsigned = found[f"recording of {CASE}"]
    assert not unsigned.ok
    assert "is not signed" in unsigned.found
    assert unsigned.remedy == "rparity seal --key KEYFILE"
    assert found["recording of pontius"].remedy == "rparity regenerate pontius"


def test_the_doctor_says_whether_signatures_are_asked_for(keys: Path, monkeypatch: Patch) -> None:
    monkeypatch.delenv(signing.TRUST, raising=False)
    assert _trust().found == "RPARITY_TRUST is not set: recordings need no signature"
    monkeypatch.setenv(signing.TRUST, str(keys / "ours.pub"))
    assert _trust().found == (
        f"each recording must be signed with one of the 1 keys in {keys / 'ours.pub'}"
    )
