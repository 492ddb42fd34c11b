#!/bin/sh
# Installs what is missing from Debian's packages: tools/deps.sh [build] [test] [web]
# Says what it installs; does nothing and asks for nothing when all is there.
set -eu

packages=""
for set in "$@"; do
    case $set in
    build)
        packages="$packages gcc libc6-dev meson ninja-build pkgconf python3
            libuv1-dev libsodium-dev libssl-dev libprotobuf-c-dev protobuf-c-compiler
            libjansson-dev libinih-dev liblmdb-dev libpng-dev libcmocka-dev
            libutf8proc-dev libpango1.0-dev libjpeg-dev libwebp-dev
            libfuse3-dev
            libwebsockets-dev libwebsockets-evlib-uv"
        ;;
    test)
        packages="$packages clang clang-format clang-tidy libclang-rt-14-dev binutils git
            fuse3 iproute2 procps python3-pytest python3-websockets prometheus"
        ;;
    web)
        packages="$packages chromium fonts-dejavu-core"
        command -v node >/dev/null || packages="$packages nodejs"
        command -v npm >/dev/null || packages="$packages npm"
        ;;
    *)
        echo "usage: tools/deps.sh [build] [test] [web]" >&2
        exit 2
        ;;
    esac
done

if ! command -v dpkg-query >/dev/null; then
    echo "deps: this is no Debian; needed are what these packages hold:" $packages
    exit 0
fi

# A package may be there under several architectures; one that is installed is enough.
installed=" $(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $packages 2>/dev/null |
    sed -n 's/^installed //p' | tr '\n' ' ')"
missing=""
for package in $packages; do
    case $installed in
    *" $package "*) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null; then
    as_root="sudo"
else
    echo "deps: missing and cannot be installed without root or sudo; as root:" >&2
    echo "    apt-get install$missing" >&2
    exit 1
fi

echo "deps: installing from Debian:$missing"
apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300"
$apt update
$apt install -y --no-install-recommends $missing
