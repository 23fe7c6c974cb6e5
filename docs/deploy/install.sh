#!/bin/sh
# Turns a bare Debian 12 root and a wheel into a server of agents: run as root, in a container's build, in a
# chroot, or on a machine of its own. Run it again with another wheel to change the version: what was there
# stays beside it, and `install.sh --back` returns to it.
#
#     install.sh letta_kernel-0.2.0-py3-none-any.whl
#
# Environment: LETTA_EXTRAS (postgres), LETTA_PREFIX (/opt/letta-kernel), LETTA_DATA (/var/lib/letta-kernel),
# LETTA_CONF (/etc/letta-kernel), LETTA_USER (letta), LETTA_UID (828); PIP_* as pip reads them.
# Afterwards there are, besides Python and what it needs:
#     $LETTA_PREFIX/VERSION/       what was installed, root's; `current` points to the one in use
#     $LETTA_DATA                  the agents, 0700, of the user $LETTA_USER, who owns nothing else; `files` is
#                                  what agents' tools can read
#     $LETTA_CONF                  settings and secrets, root's, readable by that user's group: `environment`, and
#                                  `token`, `key`, `store`, `metrics` as far as there are such files
#     /usr/local/bin/letta-kernel          the command line, /usr/local/bin/letta-kernel-server the server,
#     /usr/local/bin/letta-kernel-health   exits with 0 where the server takes requests
# and no compiler, no pip, no lists of packages.
set -eu
umask 022
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

EXTRAS=${LETTA_EXTRAS-postgres}
PREFIX=${LETTA_PREFIX:-/opt/letta-kernel}
DATA=${LETTA_DATA:-/var/lib/letta-kernel}
CONF=${LETTA_CONF:-/etc/letta-kernel}
NAME=${LETTA_USER:-letta}
NUMBER=${LETTA_UID:-828}

add() { apt-get install -qqy -o Dpkg::Use-Pty=0 --no-install-recommends "$@" >/dev/null; }
fail() { echo "install.sh: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail 'run it as root: it makes a user and installs packages.'

if [ "${1-}" = --back ]; then
    before=$(readlink "$PREFIX/previous") || fail "there is nothing to go back to in $PREFIX."
    now=$(readlink "$PREFIX/current")
    ln -sfn "$before" "$PREFIX/current"
    ln -sfn "$now" "$PREFIX/previous"
    echo "now: $before (before: $now); restart the server"
    exit
fi

WHEEL=${1:?usage: install.sh WHEEL | --back}
[ -f "$WHEEL" ] || fail "there is no file $WHEEL."
case $WHEEL in *.whl) ;; *) fail "$WHEEL is no wheel." ;; esac
command -v apt-get >/dev/null || fail 'this is no Debian: follow the steps by hand.'

# -- packages: Python alone stays -----------------------------------------------------------------------
# What was chosen by hand before stays, too; what is only needed here goes.
apt-get update -qq
add python3 ca-certificates
here=$(dpkg-query -W -f '${db:Status-Status}' python3-venv 2>/dev/null || true)
add python3-venv

# -- the user, who can write to the data alone ----------------------------------------------------------
getent group "$NAME" >/dev/null || groupadd --system --gid "$NUMBER" "$NAME"
getent passwd "$NAME" >/dev/null || useradd --system --uid "$NUMBER" --gid "$NAME" --no-create-home \
    --home-dir "$DATA" --shell /usr/sbin/nologin --comment 'letta-kernel' "$NAME"
install -d -o "$NAME" -g "$NAME" -m 0700 "$DATA" "$DATA/files"
install -d -o root -g "$NAME" -m 0750 "$CONF"
install -d -m 0755 "$PREFIX"

# -- the program, beside the one in use -----------------------------------------------------------------
sum=$(sha256sum "$WHEEL" | cut -c 1-8)
version=$(basename "$WHEEL" | cut -d - -f 2)-$sum
new=$PREFIX/$version
if [ ! -e "$new/whole" ]; then
    rm -rf "$new"
    python3 -m venv "$new"
    # Nothing is built: what has no wheel for this platform is said, instead of asking for a compiler.
    "$new/bin/pip" install --quiet --no-input --disable-pip-version-check --no-cache-dir \
        --only-binary :all: "$WHEEL${EXTRAS:+[$EXTRAS]}"
    "$new/bin/letta-kernel" --version >/dev/null
    "$new/bin/pip" uninstall --quiet --yes setuptools pip
    touch "$new/whole"
fi
now=$(readlink "$PREFIX/current" || true)
if [ "$now" != "$version" ]; then
    [ -z "$now" ] || ln -sfn "$now" "$PREFIX/previous"
    ln -sfn "$version" "$PREFIX/current"
fi

# -- commands -------------------------------------------------------------------------------------------
put() { # reads a file's text; its mode and path
    cat >"$2.new"
    chmod "$1" "$2.new"
    mv "$2.new" "$2"
}

put 0644 "$PREFIX/settings.sh" <<END
# What the commands know without being told: where things are, the settings in $CONF/environment (NAME=VALUE,
# a line each, taken as they are), and the secrets that have a file there. What is set already stays.
while IFS= read -r line || [ -n "\$line" ]; do
    name=\${line%%=*}
    case \$line in *=*) ;; *) continue ;; esac
    case \$name in '' | [0-9]* | *[!A-Za-z0-9_]*) continue ;; esac
    eval "[ -n \"\\\${\$name+set}\" ]" || export "\$name=\${line#*=}"
done <<LINES
\$(cat $CONF/environment 2>/dev/null || true)
LINES
secret() { # a variable's name and a file's
    eval "given=\\\${\$1-}\\\${\${1}_FILE-}"
    [ -n "\$given" ] || [ ! -r "$CONF/\$2" ] || export "\${1}_FILE=$CONF/\$2"
}
secret LETTA_STORE store
secret LETTA_SECRET_KEY key
export LETTA_HOME="\${LETTA_HOME:-$DATA/project}"
END

put 0755 /usr/local/bin/letta-kernel <<END
#!/bin/sh
# The command line, of the server's agents. Root becomes the user $NAME, whose files they are.
set -eu
if [ "\$(id -u)" = 0 ]; then
    exec runuser -u $NAME -- env HOME=$DATA "\$0" "\$@"
fi
. $PREFIX/settings.sh
[ -x . ] || cd "$DATA/files"
exec $PREFIX/current/bin/letta-kernel "\$@"
END

put 0755 /usr/local/bin/letta-kernel-server <<END
#!/bin/sh
# The server, in the foreground, as whoever starts it. Settings are variables of the environment;
# LETTA_LISTEN (0.0.0.0 in a container, else 127.0.0.1) and LETTA_PORT (8283) say where it listens.
set -eu
umask 077
if [ "\$(id -u)" = 0 ]; then
    echo 'letta-kernel-server: start it as the user $NAME, not as root' >&2
    exit 1
fi
. $PREFIX/settings.sh
secret LETTA_SERVER_TOKEN token
secret LETTA_METRICS_TOKEN metrics
export LETTA_LOG="\${LETTA_LOG:-json}" HOME="\${HOME:-$DATA}"
if [ -z "\${LETTA_SERVER_TOKEN-}\${LETTA_SERVER_TOKEN_FILE-}" ]; then
    # Made once, and read by whoever may read the data: nothing of it comes into the log.
    token=$DATA/server-token
    if [ ! -s "\$token" ]; then
        $PREFIX/current/bin/python -c 'import secrets; print(secrets.token_urlsafe(24))' >"\$token.new"
        mv "\$token.new" "\$token"
    fi
    export LETTA_SERVER_TOKEN_FILE="\$token"
fi
# Tools from source can read the folder that it is started in: one with nothing else.
mkdir -p "$DATA/files"
cd "$DATA/files"
exec $PREFIX/current/bin/letta-kernel serve --host "\${LETTA_LISTEN:-127.0.0.1}" --port "\${LETTA_PORT:-8283}" "\$@"
END

put 0755 /usr/local/bin/letta-kernel-health <<END
#!/bin/sh
# Whether the server here takes requests.
set -eu
. $PREFIX/settings.sh
exec $PREFIX/current/bin/python -I -S - "\${LETTA_PORT:-8283}" <<'PYTHON'
import sys
import urllib.request

here = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxy leads to others
try:
    here.open(f"http://127.0.0.1:{sys.argv[1]}/v1/health/ready", timeout=5).close()
except OSError as error:
    sys.exit(f"not ready: {error}")
PYTHON
END

# -- nothing is left that was needed only here ----------------------------------------------------------
if [ "$here" != installed ]; then
    # Python's own packages suggest it, which would keep it.
    apt-get purge -qqy -o Dpkg::Use-Pty=0 -o APT::AutoRemove::SuggestsImportant=false --auto-remove \
        python3-venv >/dev/null
fi
apt-get clean
rm -rf /var/lib/apt/lists/* /root/.cache
echo "$PREFIX/$version is installed; data in $DATA, settings and secrets in $CONF"
