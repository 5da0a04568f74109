"""git writing into `.git` while the gateway is killed, or others take snapshots and collect."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.gitdoor.mounted import WRITE, Scene
from tests.gitdoor.repositories import ENVIRONMENT, Git

LOCKS = ("index.lock", "HEAD.lock", "refs/heads/main.lock")
# Says the number of each commit that git says is made.
COMMITTING = """
for n in $(seq "$1" 100000); do
    echo "$n" >file && echo "$n" >"new$n" && git add . && git commit -q -m "$n" && echo "$n" || exit
done
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 2, 3, 5])
def test_what_git_has_said_is_there_after_a_crash(here: Scene, after: int) -> None:
    mounted = here.mount("main", WRITE)
    mounted.write("file", "0")
    mounted.commit("0")
    said = 0
    for _ in range(2):
        work = subprocess.Popen(
            ["sh", "-c", COMMITTING, "sh", str(said + 1)],
            cwd=mounted.path,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert work.stdout is not None
        for _ in range(after):
            said = int(work.stdout.readline())
        here.gateway.kill()
        rest, _ = work.communicate()
        said = int(rest.split()[-1]) if rest.split() else said
        here.gateway.start()
        mounted = here.mount("main", WRITE)
        for lock in LOCKS:  # as after any crash of a machine
            (mounted.path / ".git" / lock).unlink(missing_ok=True)
        tip = int(mounted("log", "-1", "--format=%s"))
        assert tip in (said, said + 1)
        assert mounted("log", "--format=%s").split() == [str(n) for n in range(tip, -1, -1)]
        assert mounted("show", f"HEAD:new{tip}") == f"{tip}\n"
        mounted("status")
        mounted.fsck()
        said = tip


@pytest.mark.slow
def test_commits_snapshots_and_collections_at_once(here: Scene) -> None:
    """Two work in mounts of two branches. In one an administrator takes snapshots, so that some of
    its commits are refused; all that git says is made is there."""
    mounted = here.mount("main", WRITE)
    mounted.write("file", "0")
    mounted.commit("start")
    mounted("branch", "other")
    places = {"main": mounted, "other": here.mount("other", WRITE)}
    made: dict[str, list[str]] = {"main": [], "other": []}

    def work(name: str) -> None:
        git = Git(places[name].path)
        for number in range(25):
            git.write(f"f{number}", f"{name} {number}")
            git.write("file", f"{name} {number}")
            git("add", ".")
            done = git.run("commit", "-q", "-m", f"{name} {number}")
            if done.returncode == 0:
                made[name].append(f"{name} {number}")
            else:
                told = done.stdout + done.stderr
                words = b"nothing to commit", b"couldn't set", b"cannot lock ref"
                assert any(word in told for word in words), told

    def administer() -> None:
        for number in range(8):
            here.snapshot(f"s{number}", f"snapshot {number}")
            here.gateway.fsgw("gc")

    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(work, name) for name in places] + [pool.submit(administer)]
        for run in runs:
            run.result()
    assert len(made["other"]) == 25
    for name, git in places.items():
        told = git("log", "--format=%s", name).splitlines()
        assert [text for text in reversed(told) if text.startswith(name)] == made[name]
        assert (git.path / "file").read_text() == f"{name} 24"
        git.fsck()
    assert [f"snapshot {n}" for n in range(8)] == [
        text for text in reversed(mounted("log", "--format=%s", "main").splitlines())
        if text.startswith("snapshot")
    ]  # fmt: skip
