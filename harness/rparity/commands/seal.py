"""`rparity seal`: sign recordings, so that a change by somebody else is noticed."""

from __future__ import annotations

import argparse
from pathlib import Path

from rparity.commands import AGREE, add_cases, add_fixtures, chosen_cases
from rparity.errors import UsageError
from rparity.signing import TRUST

HELP = "sign recordings, so that forged ones are refused"
ABOUT = (
    "Sign recordings with your private key, so that a change by somebody else is noticed. If the "
    f"environment variable {TRUST} names a file of public keys in PEM, every recording must be "
    "signed with one of these keys."
)
STATUS = (
    "0 if all recordings are signed, or the key is made; 2 for an error of usage or "
    "environment, or if a recording is missing or corrupt."
)
EXAMPLE = "rparity seal --key ~/keys/parity norris"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_cases(parser)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--key",
        type=Path,
        metavar="KEYFILE",
        help="sign with this private Ed25519 key, in PEM without a password",
    )
    how.add_argument(
        "--new-key",
        type=Path,
        metavar="KEYFILE",
        help="make a private key in this file, which only you can read, and its public key in "
        "KEYFILE.pub; existing files are not overwritten",
    )
    parser.add_argument(
        "--recordings",
        type=Path,
        metavar="DIR",
        help="sign the recordings of r_parity in this folder and its subfolders, such as tests; "
        "recordings of cases are then signed only for each CASE that is given",
    )
    add_fixtures(parser)


def run(options: argparse.Namespace) -> int:
    """Sign the recordings, or make a key."""
    from rparity import recordings, signing
    from rparity.engines import kept_answers
    from rparity.engines.base import KEPT_ENGINES
    from rparity.parity import store
    from rparity.report import terminal

    out = terminal.console()
    if options.new_key is not None:
        public = signing.write_key(options.new_key)
        out.print(f"Private key, for --key: {options.new_key}\nPublic key, for {TRUST}: {public}")
        return AGREE
    key, calls = signing.signer(options.key), options.recordings
    if calls is not None:
        of_calls = store.sign(calls, key)
        if not of_calls:
            raise UsageError(f"There are no recordings of r_parity in {calls}: name their folder.")
        out.print(f"{calls}: {len(of_calls)} recordings signed", soft_wrap=True)
    for case in chosen_cases(options.cases) if options.cases or calls is None else ():
        fixtures = case.fixtures(options.fixtures)
        signed = recordings.sign(fixtures, case.name, key, f"run `{case.command}`")
        for name in KEPT_ENGINES:
            folder = kept_answers.folder(fixtures, name)
            if recordings.versions(folder, case.name):
                remedy = f"run `rparity regenerate --engine {name} {case.name}`"
                signed += recordings.sign(folder, case.name, key, remedy)
        out.print(f"{case.name}: {len(signed)} recordings signed")
    return AGREE
