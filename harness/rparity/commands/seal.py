"""`rparity seal`: recordings are signed by who vouches for them."""

from __future__ import annotations

import argparse
from pathlib import Path

from rparity.commands import AGREE, Commands, add_cases, add_fixtures, chosen_cases
from rparity.errors import UsageError
from rparity.signing import TRUST


def add(commands: Commands) -> None:
    """Add the parser."""
    parser = commands.add_parser("seal", help="sign recordings, so that a forged one shows")
    parser.set_defaults(action=run)
    parser.epilog = (
        f"Where the environment variable {TRUST} names a file of public keys in PEM, every "
        "recording that is read must be signed by one of them. Exit status: 0 all are signed, or "
        "the key is made; 2 usage or environment, a recording that is missing or corrupt."
    )
    add_cases(parser)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--key",
        type=Path,
        metavar="KEYFILE",
        help="sign with this private key of Ed25519, in PEM without a password",
    )
    how.add_argument(
        "--new-key",
        type=Path,
        metavar="KEYFILE",
        help="make a private key there, which you alone can read, and the public one in "
        "KEYFILE.pub; neither overwrites a file",
    )
    parser.add_argument(
        "--recordings",
        type=Path,
        metavar="DIR",
        help="sign the recordings of r_parity in this folder and those within, such as tests; "
        "those of cases then only where CASE names them",
    )
    add_fixtures(parser)


def run(options: argparse.Namespace) -> int:
    """Sign, or make a key."""
    from rparity import recordings, signing
    from rparity.engines import kept_answers as keep
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
        out.print(f"{calls}: {len(of_calls)} recordings signed")
    for case in chosen_cases(options.cases) if options.cases or calls is None else ():
        fixtures = case.fixtures(options.fixtures)
        signed = recordings.sign(fixtures, case.name, key, f"run `{case.command}`")
        for name in KEPT_ENGINES:
            folder = keep.folder(fixtures, name)
            if recordings.versions(folder, case.name):
                remedy = f"run `rparity regenerate --engine {name} {case.name}`"
                signed += recordings.sign(folder, case.name, key, remedy)
        out.print(f"{case.name}: {len(signed)} recordings signed")
    return AGREE
