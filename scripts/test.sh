#!/usr/bin/env bash
# All tests, or those that the arguments name. Tests on labs leave results for `make report`; those of the unit tests
# would be 16,000 files that tell nobody anything, so they run on their own.
set -uo pipefail
pytest=("${PYTHON:-python}" -m pytest -p no:cacheprovider)
results=(--alluredir=.hopscope/allure-results --clean-alluredir)

case " $*" in *" tests/"*) exec "${pytest[@]}" "${results[@]}" "$@" ;; esac

"${pytest[@]}" tests/unit "$@"
unit=$?
[ $unit -eq 2 ] && exit 2  # interrupted
"${pytest[@]}" tests/integration "${results[@]}" "$@"
integration=$?
nothing=5  # what pytest says where an argument leaves no test
for code in $unit $integration; do
    [ "$code" -ne 0 ] && [ "$code" -ne $nothing ] && exit "$code"
done
[ $unit -eq $nothing ] && [ $integration -eq $nothing ] && exit $nothing
exit 0
