#!/usr/bin/env bash
# Brings a Debian or Ubuntu machine to where the tests run: system packages, then .venv from requirements.lock.
# Idempotent: a second run only compares a fingerprint. Starts no service.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A package_of=(
    [ip]=iproute2 [tc]=iproute2 [nft]=nftables [tcpdump]=tcpdump [tshark]=tshark [ethtool]=ethtool
    [ping]=iputils-ping [iperf3]=iperf3 [nsenter]=util-linux [python3]=python3
    [haproxy]=haproxy [cc]=gcc
    [iptables-legacy]=iptables [openvpn]=openvpn [socat]=socat [ssh]=openssh-client [sshd]=openssh-server
)
# make puts .venv first; what is about to be rebuilt cannot be what rebuilds it.
PATH=${PATH//"$PWD/.venv/bin:"/}:/usr/sbin:/sbin

fingerprint=$(cat requirements.lock pyproject.toml nic/pyproject.toml scripts/setup.sh | sha256sum | cut -d' ' -f1)-$PWD
fresh=$([ "$(cat .venv/.fingerprint 2>/dev/null)" = "$fingerprint" ] && echo yes || echo no)

missing=()
for tool in "${!package_of[@]}"; do
    command -v "$tool" >/dev/null || missing+=("${package_of[$tool]}")
done
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
if command -v python3 >/dev/null && [ "$fresh" = no ]; then
    python3 -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Hopscope needs Python 3.11 or later")'
fi
if [ "$fresh" = no ] && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    missing+=(python3-venv)
fi

if [ ${#missing[@]} -gt 0 ]; then
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "Hopscope needs system packages that are not here. On Debian or Ubuntu, install them with:" >&2
        echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
        echo "and call make again." >&2
        exit 2
    fi
    echo "setup: installing ${missing[*]}"
    # A package may want to start its service (iperf3 asks, haproxy does not): policy-rc.d answers no while we install.
    policy=/usr/sbin/policy-rc.d
    ours='# written by the set-up of Hopscope while it installs packages; it removes this file again'
    if [ ! -e "$policy" ] || grep -qxF "$ours" "$policy"; then  # ours may be left from a set-up that was killed
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\n%s\nexit 101\n' "$ours" > "$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    # These packages enable their service for the next boot as well. We want the programs alone.
    declare -A service_of=([haproxy]=haproxy.service [openvpn]=openvpn.service [openssh-server]=ssh.service)
    for package in "${missing[@]}"; do
        if [ -n "${service_of[$package]:-}" ] && command -v systemctl >/dev/null; then
            systemctl --quiet disable "${service_of[$package]}"
        fi
    done
fi

if [ "$fresh" = no ]; then
    echo "setup: Python environment .venv from requirements.lock"
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e . -e nic
    printf '%s' "$fingerprint" > .venv/.fingerprint
fi
