#!/usr/bin/env bash
# All tests, or those that the arguments name. Tests on labs leave results for `make report`; those of the unit tests
# would be 16,000 files that tell nobody anything, so they run on their own; where one fails, the labs are not asked.
# Unit tests on three workers, for two processors, because some wait; those on labs on two, because a third one makes
# them late. Budgets have the machine to themselves.
set -uo pipefail
pytest=("${PYTHON:-python}" -m pytest -p no:cacheprovider)
results=(--alluredir=.hopscope/allure-results --clean-alluredir)

case " $*" in *" tests/"*) exec "${pytest[@]}" "${results[@]}" "$@" ;; esac

nothing=5  # what pytest says where an argument leaves no test
"${pytest[@]}" -n 3 tests/unit "$@"
unit=$?
[ $unit -eq 0 ] || [ $unit -eq $nothing ] || exit $unit
"${pytest[@]}" -n 2 --dist worksteal tests/integration "${results[@]}" "$@"
integration=$?
[ $integration -eq $nothing ] && exit $unit
exit $integration
