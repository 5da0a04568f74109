"""What one client may do with one branch: the rule that an export comes to for it.

Knows no addresses and no configuration: who is let in, and by which rule, is decided above.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from store.types import Caller

NOBODY = 65534


class Squash(enum.Enum):
    """Whose ids become the anonymous ones."""

    NONE = "none"
    ROOT = "root"
    ALL = "all"


class Shown(enum.Enum):
    """How a virtual directory shows in a branch's root."""

    OFF = "off"
    HIDDEN = "hidden"  # reachable by its name, not listed
    LISTED = "listed"


class Rule(NamedTuple):
    """What one client may do with one branch.

    sync: replies to calls that change metadata wait until the change is durable; COMMIT and stable
    WRITEs do in any case. secure: only calls from ports below 1024. snapshots, git: the virtual
    directories `.snapshots` and `.git`. snapshot_admin: mkdir and rmdir in `.snapshots` take and
    delete snapshots. git_write: git may write to `.git`.
    """

    read_only: bool = False
    squash: Squash = Squash.ROOT
    anonuid: int = NOBODY
    anongid: int = NOBODY
    sync: bool = True
    secure: bool = False
    snapshots: Shown = Shown.HIDDEN
    git: Shown = Shown.HIDDEN
    snapshot_admin: bool = False
    git_write: bool = False

    @property
    def anonymous(self) -> Caller:
        """Who a call without credentials, or with squashed ones, stands for."""
        return Caller(self.anonuid, self.anongid)

    def caller(self, credential: Caller) -> Caller:
        """Who the ids that a client sent stand for.

        ROOT replaces uid 0, gid 0 and group 0 wherever they stand, each on its own, as knfsd does:
        a caller of another uid in group 0 keeps its uid. ALL leaves nothing of what was sent.
        """
        match self.squash:
            case Squash.NONE:
                return credential
            case Squash.ROOT:
                uid, gid, groups = credential
                if 0 in groups:
                    groups = groups - {0} | {self.anongid}
                return Caller(uid or self.anonuid, gid or self.anongid, groups)
            case Squash.ALL:
                return self.anonymous
