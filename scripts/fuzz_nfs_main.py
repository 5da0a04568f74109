"""Attack the NFS door with made-up, spoiled and cut calls, one round after another.

Each round is a new store, a hostile client, one that must not notice, and an admin at work; it ends
with a full check of the store. A round is made from its seed alone: `--seed N --rounds 1` repeats
one. The exit code is 0 when nothing was found, 1 with the seed and the message where something was.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections import Counter

from tests.nfs.fuzzing import Arena
from tests.nfs.gateway import gateway


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzz-nfs", description=__doc__)
    parser.add_argument("--seed", type=int, help="of the first round (default: any)")
    parser.add_argument("--rounds", type=int, help="how many (default: as time allows)")
    parser.add_argument(
        "--seconds", type=float, help="begin no round after that (default: until interrupted)"
    )
    parser.add_argument("--messages", type=int, default=5000, help="in a round (default: 5000)")
    return parser.parse_args()


def _round(seed: int, messages: int) -> Counter[str]:
    """One round; says what there was of each kind of answer. Raises what it finds."""
    with gateway() as gw:
        arena = Arena(gw, random.Random(seed))
        arena.attack(messages)
        problems = gw.store.check(data=True)
        if problems:
            raise AssertionError(problems)
        return Counter(arena.counts)


def main() -> int:
    """Run rounds until told otherwise."""
    arguments = _arguments()
    given: int | None = arguments.seed
    seed = random.SystemRandom().getrandbits(31) if given is None else given
    until = time.monotonic() + arguments.seconds if arguments.seconds else float("inf")
    total: Counter[str] = Counter()
    rounds = 0
    print(f"first seed {seed}, {arguments.messages} messages a round", flush=True)
    try:
        while time.monotonic() < until and rounds != arguments.rounds:
            try:
                total += _round(seed + rounds, arguments.messages)
            except Exception:  # noqa: BLE001  whatever it is, it is what was looked for
                traceback.print_exc()
                print(
                    f"found in round {rounds + 1}; repeat it with:"
                    f" --seed {seed + rounds} --rounds 1 --messages {arguments.messages}",
                    flush=True,
                )
                return 1
            rounds += 1
            if rounds & (rounds - 1) == 0:
                print(f"{rounds} rounds: {dict(total)}", flush=True)
    except KeyboardInterrupt:
        pass
    print(f"nothing found in {rounds} rounds: {dict(total)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
