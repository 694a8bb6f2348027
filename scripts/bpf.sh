#!/usr/bin/env bash
# Builds the BPF object of the rewriters and says in a side-car from what and with what. Needs clang and libbpf-dev; who
# only runs the rewriters does not.
set -euo pipefail
cd "$(dirname "$0")/../nic/hopscope_nic/bpf"
clang=${CLANG:-$(command -v clang || command -v clang-14 || true)}
strip=${LLVM_STRIP:-$(command -v llvm-strip || command -v llvm-strip-14 || true)}
if [ -z "$clang" ] || [ -z "$strip" ] || [ ! -e /usr/include/bpf/bpf_helpers.h ]; then
    echo "make bpf needs: sudo apt-get install -y --no-install-recommends clang llvm libbpf-dev" >&2
    exit 2
fi
"$clang" -O2 -g -Wall -Werror -target bpf -mcpu=v3 -idirafter "/usr/include/$(uname -m)-linux-gnu" -ffile-prefix-map="$PWD"=. \
    -c rewriter.bpf.c -o rewriter.bpf.o
"$strip" -g rewriter.bpf.o
printf '{"source_sha256": "%s", "object_sha256": "%s", "compiler": "%s"}\n' \
    "$(cat -- *.c *.h | sha256sum | cut -d' ' -f1)" "$(sha256sum < rewriter.bpf.o | cut -d' ' -f1)" \
    "$("$clang" --version | head -1)" > rewriter.json
