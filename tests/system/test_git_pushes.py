"""Stock git on the host pushes to a branch over HTTP while a guest works in it over NFS."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gitdoor.repositories import Git
from tests.system.gateway import Gateway
from tests.system.holding import hold, let_go
from tests.system.vm import Vm

pytestmark = pytest.mark.slow

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def git_gateway(requirements: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that also serves git, and takes forced pushes; whole at the end."""
    room = tmp_path_factory.mktemp("git-gateway")
    config = room / "fsgw.toml"
    config.write_text('[git]\nlisten = ["127.0.0.1"]\nport = 0\npush = "forced"\n')
    made = Gateway(room, options=("--portmap", "off", "--config", str(config))).start()
    yield made
    made.close()


class Scene:
    """A branch, a clone of it on the host, and a guest that has it mounted twice: where its git
    works, and where its kernel asks for attributes each time."""

    def __init__(self, vm: Vm, gateway: Gateway, host: Git, branch: str) -> None:
        self.vm, self.gateway, self.host, self.branch = vm, gateway, host, branch
        self.work, self.fresh = "/mnt/mnt", "/mnt-fresh"
        self.url = f"http://127.0.0.1:{gateway.ready['git_port']}"

    def git(self, words: str) -> str:
        """What git says in the guest."""
        return self.vm.run(f"chroot /mnt git -C /mnt {words}")

    def push(self, *words: str, code: int = 0) -> str:
        """Push what the host has: what git says."""
        return self.host("push", *words, "origin", f"HEAD:{self.branch}", code=code)

    def inodes(self) -> dict[str, str]:
        """Paths of files below the branch's root, with their inodes, as the guest has them."""
        found = self.vm.run(f"cd {self.fresh} && find . -type f -exec stat -c '%i %n' {{}} +")
        return {path: ino for ino, path in (line.split(" ", 1) for line in found.splitlines())}

    def everything(self) -> tuple[str, ...]:
        """All that a refused push must leave as it is."""
        listed = self.vm.run(f"cd {self.fresh} && find . -exec stat -c '%i %f %s %Z %n' {{}} +")
        data = self.vm.run(f"cd {self.fresh} && find . -type f -exec md5sum {{}} +")
        refs = self.host("ls-remote", "origin")
        return listed, data, refs, self.git("log --all --format=%H"), self.git("status -s")


@pytest.fixture
def scene(vm: Vm, gateway: Gateway, git_gateway: Gateway, tools: str, tmp_path: Path) -> Scene:
    branch = f"work-{next(_numbers)}"
    git_gateway.fsgw("branch", "create", branch)
    vm.mount(gateway.port, f"/{tools}", "/mnt")
    vm.mount(git_gateway.port, f"/{branch}", "/mnt/mnt")
    vm.mount(git_gateway.port, f"/{branch}", "/mnt-fresh", "actimeo=0")
    host = Git(tmp_path / "host").init()
    host(
        "remote", "add", "origin", f"http://127.0.0.1:{git_gateway.ready['git_port']}/{branch}.git"
    )
    made = Scene(vm, git_gateway, host, branch)
    for name in ("stays", "changes", "goes", "turns", "edited", "dir/stays", "dir/goes"):
        host.write(name, f"{name}, the first\n")
    host.write("version", "version 0000\n")
    host.commit("the first")
    made.push("-q")
    return made


WRITE = """
rm -f /run/stop /run/written /run/read /run/seen
mkdir -p /mnt/mnt/live
(
    i=0
    while [ ! -e /run/stop ]; do
        i=$((i + 1))
        echo $i >>/mnt/mnt/live/log
        echo $i >/mnt/mnt/live/now
        mv /mnt/mnt/live/now /mnt/mnt/live/$((i % 5))
    done
    echo $i >/run/written
) >/run/writer 2>&1 &
(
    while [ ! -e /run/stop ]; do cat /mnt/mnt/version || echo failed; done >/run/seen 2>&1
    echo end >/run/read
) &
"""
GO_ON = """
wait_for_more() {
    before=$(wc -l <$1)
    while [ $(wc -l <$1) -lt $((before + 3)) ]; do :; done
}
wait_for_more /mnt/mnt/live/log
wait_for_more /run/seen
"""
STOP = """
touch /run/stop
while [ ! -e /run/written ] || [ ! -e /run/read ]; do :; done
sync; cat /run/writer; cat /run/written
"""


def test_pushes_under_a_guest_at_work(scene: Scene) -> None:
    """One process writes all the time, another reads what is pushed, and files are open."""
    vm, host, work, fresh = scene.vm, scene.host, scene.work, scene.fresh
    assert scene.git("log --format=%s") == "the first"
    assert scene.git("status --porcelain") == ""
    vm.run(f"cd {work} && echo own >own && echo edited >>edited && echo own >dir/own && sync")
    before = scene.inodes()
    names = ("stays", "changes", "goes", "turns")
    held = hold(vm, *(f"{fresh}/{name}" for name in names))
    vm.run(WRITE)
    for number in range(1, 4):
        vm.run(GO_ON)
        host.write("version", f"version {number:04d}\n")
        host.write(f"new{number}/deep/file", f"new {number}\n")
        if number == 1:
            host.write("changes", "changed by a push\n")
            (host.path / "goes").unlink()
            (host.path / "dir" / "goes").unlink()
            (host.path / "turns").unlink()
            host.write("turns/into", "a directory\n")
        tip = host.commit(f"push {number}")
        scene.push("-q")
        # At once: the history, what is new, and what changed.
        assert scene.git("log -1 --format=%H") == tip
        assert vm.run(f"cat {work}/version {work}/new{number}/deep/file") == (
            f"version {number:04d}\nnew {number}"
        )
    vm.run(GO_ON)
    *said, written = vm.run(STOP).splitlines()
    assert said == []
    # Nothing that was written is lost, and what was read was one version or another.
    assert vm.run(f"md5sum <{work}/live/log") == vm.run(f"seq {written} | md5sum")
    assert scene.gateway.cat(f"{scene.branch}/live/log").split()[-1].decode() == written
    versions = vm.run("uniq /run/seen").splitlines()
    assert versions == [f"version {number:04d}" for number in range(4)]
    # Files that stay are the same files.
    after = scene.inodes()
    gone = {"./goes", "./turns", "./dir/goes"}
    assert {path: after.get(path) for path in before} == {
        path: None if path in gone else ino for path, ino in before.items()
    }
    assert vm.run(f"cat {fresh}/turns/into {fresh}/dir/own {fresh}/own") == "a directory\nown\nown"
    # So are open ones; the handles of those that went are stale.
    assert vm.run(f"cat {held}/3 {held}/4") == "stays, the first\nchanged by a push"
    for number in (5, 6):
        assert "Stale file handle" in vm.fails(f"cat {held}/{number}")
    vm.run(f"echo more >>{held}/3 && sync")
    let_go(vm)
    assert vm.run(f"cat {fresh}/stays") == "stays, the first\nmore"
    # Git sees what the guest did, and nothing else.
    assert scene.git("status --porcelain") == " M edited\n M stays\n?? dir/own\n?? live/\n?? own"
    assert scene.git("log --format=%s") == "push 3\npush 2\npush 1\nthe first"
    assert scene.git("show HEAD:version") == "version 0003"
    assert scene.git("diff --stat HEAD~3 HEAD -- changes turns").count("|") == 3
    scene.git("fsck --strict")


def test_a_push_in_the_way_of_a_guest_is_refused(scene: Scene) -> None:
    """In git's words, forced or not; with nothing changed. With the guest's work it goes."""
    vm, host = scene.vm, scene.host
    vm.run(f"cd {scene.work} && echo guest >edited && echo guest >own && rm dir/goes && sync")
    vm.run(f"cd {scene.work} && mkdir both && echo guest >both/own && sync")
    pushes = {"edited": "host", "own": "host", "dir/goes": "host", "both": "a file"}
    before = scene.everything()
    for path, text in pushes.items():
        host.write(path, text)
        host.write("beside", "host")
        host.commit(f"in the way of {path}")
        for words in ([], ["--force"], ["--atomic"]):
            said = scene.push(*words, code=1)
            assert "[remote rejected]" in said
            assert "changes that are in no snapshot would be overwritten: " in said, path
        host("reset", "-q", "--hard", "HEAD~1")
    (host.path / "edited").unlink()
    host.commit("without it")
    assert "would be overwritten: edited" in scene.push(code=1)
    host("reset", "-q", "--hard", "HEAD~1")
    assert scene.everything() == before
    # Once what the guest did is history, git can do its part.
    scene.gateway.fsgw("snapshot", "create", scene.branch, "-m", "what the guest did")
    host.write("edited", "host")
    host.commit("the host's")
    assert "fetch first" in scene.push(code=1)
    host("pull", "-q", "--no-rebase", "--no-edit", "-X", "ours", "origin", scene.branch)
    scene.push("-q")
    assert vm.run(f"cd {scene.work} && cat edited own both/own") == "hostguest\nguest"
    assert scene.git("status --porcelain") == ""
    assert "what the guest did" in scene.git("log --format=%s").splitlines()


def test_a_forced_push_under_a_guest(scene: Scene) -> None:
    """What it replaces goes from the guest's tree, and stays as a snapshot; what is the guest's
    own stays where it is."""
    vm, host = scene.vm, scene.host
    for number in (1, 2):
        host.write("changes", f"{number}\n")
        host.write(f"only{number}", f"{number}\n")
        host.commit(f"number {number}")
        scene.push("-q")
    vm.run(f"cd {scene.work} && echo own >own && echo own >dir/own && cat only2 && sync")
    before = scene.inodes()
    held = hold(vm, f"{scene.fresh}/changes", f"{scene.fresh}/only2", f"{scene.fresh}/own")
    old = host("rev-parse", "HEAD").strip()
    host("reset", "-q", "--hard", "HEAD~2")
    host.write("instead", "instead\n")
    tip = host.commit("instead")
    assert "non-fast-forward" in scene.push(code=1)
    assert scene.inodes() == before
    scene.push("-q", "--force")
    assert scene.git("log --format=%H -1") == tip
    assert scene.git("log --format=%s") == "instead\nthe first"
    assert scene.git("status --porcelain") == "?? dir/own\n?? own"
    after = scene.inodes()
    assert before.keys() - after.keys() == {"./only1", "./only2"}
    assert after.keys() - before.keys() == {"./instead"}
    assert all(before.get(path, ino) == ino for path, ino in after.items())
    assert vm.run(f"cat {held}/3 {held}/5") == "changes, the first\nown"
    assert "Stale file handle" in vm.fails(f"cat {held}/4")
    let_go(vm)
    # Back again, from where it was kept.
    scene.host("reset", "-q", "--hard", old)
    scene.push("-q", "--force")
    assert vm.run(f"cat {scene.fresh}/changes {scene.fresh}/only2 {scene.fresh}/own") == "2\n2\nown"
    assert scene.inodes().keys() == before.keys()


def test_branches_and_tags_that_are_pushed_show_in_a_guest(scene: Scene) -> None:
    vm, host, topic = scene.vm, scene.host, f"topic-{scene.branch}"
    assert topic not in scene.git("branch --list")
    host("checkout", "-q", "-b", topic)
    host.write("topical", "topical\n")
    tip = host.commit("topical")
    host("tag", "-a", "-m", "annotated", f"tag-{topic}")
    host("push", "-q", "origin", topic, f"{topic}:refs/heads/deep/{topic}", f"tag-{topic}")
    names = scene.git("branch --format='%(refname)'").splitlines()
    assert {f"refs/heads/{topic}", f"refs/heads/deep/{topic}"} <= set(names)
    assert scene.git(f"rev-parse {topic} deep/{topic} tag-{topic}^{{}}").split() == [tip] * 3
    assert scene.git(f"diff --name-status {scene.branch} {topic}") == "A\ttopical"
    assert scene.git(f"tag -l -n1 tag-{topic}").split() == [f"tag-{topic}", "annotated"]
    assert scene.git("status --porcelain") == ""
    assert vm.run(f"ls {scene.work}/topical 2>&1 || :").endswith("No such file or directory")
    # It can be mounted, is in use at once, and grows by what its guest does.
    vm.mount(scene.gateway.port, f"/{topic}", "/mnt/srv")
    assert vm.run("cat /mnt/srv/topical") == "topical"
    vm.run("echo more >/mnt/srv/more && sync")
    scene.gateway.fsgw("snapshot", "create", topic, "-m", "in the guest")
    assert scene.git(f"log --format=%s {topic} -2") == "in the guest\ntopical"
    every = f"{scene.url}/all.git"
    host("pull", "-q", "--ff-only", every, topic)
    assert (host.path / "more").read_text() == "more\n"
    host("push", "-q", every, f":deep/{topic}")
    assert f"deep/{topic}" not in scene.git("branch --format='%(refname)'")
