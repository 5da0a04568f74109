# Set-up shared by the scripts; to be sourced, not run.
#
# After `fsgw_setup`, $VENV is a virtual environment that holds fsgw (editable) and all its
# development dependencies. Missing system packages are installed with apt-get. A stamp in $VENV
# makes later calls return at once while what it was made from is unchanged.
#
# After `fsgw_setup_compiled`, $VENV_COMPILED is another one, that holds fsgw as `pip install` makes
# it for users: with its hot modules compiled (setup.py).
#
#   PYTHON   the interpreter to use, 3.11 or newer (default: python3)

FSGW_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$FSGW_ROOT/.venv
VENV_COMPILED=$FSGW_ROOT/.venv-compiled

fsgw_say() { printf '==> %s\n' "$*"; }

fsgw_die() {
    printf 'error: %s\n' "$*" >&2
    return 1
}

_fsgw_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fsgw_die "need root (or sudo) to run: $*"
    fi
}

# Runs "$@" with its output kept back; shows the output only when it fails.
_fsgw_quiet() {
    local output
    if output=$("$@" 2>&1 </dev/null); then
        return 0
    fi
    printf '%s\n' "$output" >&2
    return 1
}

_fsgw_apt_update() { _fsgw_quiet _fsgw_root apt-get update; }

_fsgw_apt_install() {
    command -v apt-get >/dev/null || fsgw_die "please install: $*" || return 1
    fsgw_say "system packages: $*"
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends)
    # An install that fails with old package lists is tried once more with new ones.
    if compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null &&
        _fsgw_root "${install[@]}" "$@" >/dev/null 2>&1 </dev/null; then
        return 0
    fi
    _fsgw_apt_update && _fsgw_quiet _fsgw_root "${install[@]}" "$@"
}

# System packages are asked for by what is missing, so that an interpreter or a compiler from
# elsewhere counts as well as Debian's own.
_fsgw_system() {
    local python=${PYTHON:-python3} packages=()
    command -v git >/dev/null || packages+=(git)
    command -v gcc >/dev/null || packages+=(gcc libc6-dev)
    if ! command -v "$python" >/dev/null; then
        packages+=(python3 python3-venv python3-dev)
    else
        "$python" -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
        "$python" - 2>/dev/null <<'PY' || packages+=(python3-dev)
import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))
PY
    fi
    [ ${#packages[@]} -eq 0 ] || _fsgw_apt_install "${packages[@]}" || return 1
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fsgw_die "$python is $("$python" --version 2>&1): Python 3.11 or newer is needed"
}

_fsgw_pip() { "$VENV/bin/python" -m pip --disable-pip-version-check -qq "$@"; }

# What the environment was made from: where it stands, with which interpreter, and these files.
_fsgw_stamp() {
    (
        cd "$FSGW_ROOT" && sha256sum pyproject.toml scripts/lib.sh &&
            printf '%s\n' "$FSGW_ROOT" && "${PYTHON:-python3}" -VV
    ) 2>/dev/null
}

_fsgw_is_ready() {
    local stamp
    stamp=$(_fsgw_stamp) && [ "$(cat "$VENV/.fsgw-stamp" 2>/dev/null)" = "$stamp" ]
}

_fsgw_pip() { "$VENV/bin/python" -m pip --disable-pip-version-check -qq "$@" </dev/null; }

_fsgw_make() {
    _fsgw_is_ready && return 0 # another script made it while this one waited
    _fsgw_system || return 1
    local python=${PYTHON:-python3}
    fsgw_say "virtual environment: $("$python" --version), in .venv"
    "$python" -m venv --clear "$VENV" || return 1
    if ! _fsgw_pip install --editable "$FSGW_ROOT[dev]"; then
        fsgw_say 'the installation failed; trying once more'
        _fsgw_pip install --editable "$FSGW_ROOT[dev]" || return 1
    fi
    _fsgw_stamp >"$VENV/.fsgw-stamp"
}

# Makes $VENV ready. Scripts started together wait here for the one that makes it.
fsgw_setup() {
    _fsgw_is_ready && return 0
    (
        flock 9 || exit 1
        _fsgw_make 9>&-
    ) 9>"$FSGW_ROOT/.venv.lock" || fsgw_die 'the set-up failed'
}

_fsgw_compiled_stamp() {
    (
        cd "$FSGW_ROOT" && _fsgw_stamp && find setup.py fsgw fuse gitdoor nfs store -name '*.py' -print0 |
            LC_ALL=C sort -z | xargs -0 sha256sum
    ) 2>/dev/null
}

_fsgw_make_compiled() {
    [ "$(cat "$VENV_COMPILED/.fsgw-stamp" 2>/dev/null)" = "$(_fsgw_compiled_stamp)" ] && return 0
    fsgw_say 'compiling the hot modules, in .venv-compiled'
    "${PYTHON:-python3}" -m venv --clear "$VENV_COMPILED" || return 1
    # Built from a copy: a build leaves its own files where it runs.
    local copy status=0
    copy=$(mktemp -d) || return 1
    cp -r "$FSGW_ROOT"/{fsgw,fuse,gitdoor,nfs,store,setup.py,pyproject.toml,README.md,LICENSE} "$copy" &&
        _fsgw_quiet "$VENV_COMPILED/bin/python" -m pip --disable-pip-version-check install \
            "$copy[dev]" || status=1
    rm -rf "$copy"
    [ $status -eq 0 ] || return 1
    _fsgw_compiled_stamp >"$VENV_COMPILED/.fsgw-stamp"
}

# Makes $VENV_COMPILED ready; a minute or two where anything has changed. Call fsgw_setup first.
fsgw_setup_compiled() {
    (
        flock 9 || exit 1
        _fsgw_make_compiled 9>&-
    ) 9>"$FSGW_ROOT/.venv.lock" || fsgw_die 'the compiled set-up failed'
}
