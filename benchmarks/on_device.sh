#!/usr/bin/env bash
# Measures a GPU or TPU within ten minutes: the tests that need one, then the benchmarks, the most telling first.
# Results go to $OUT, a file for each benchmark; a benchmark that is stopped keeps the groups that it finished.
#
#     OUT=out/device bash benchmarks/on_device.sh                      # on the machine with the device
#     OUT=out/device SMOKE=1 DEVICE=cpu bash benchmarks/on_device.sh   # only show that it works, on a CPU
#
# MINUTES (10), DEVICE (JAX's own choice), MIN_TIME (0.3 seconds a row) and PYTHON (python3) can be set.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${OUT:?set OUT to the folder for the results}
python=${PYTHON:-python3}
deadline=$((SECONDS + 60 * ${MINUTES:-10} - 15))
options=(--min-time "${MIN_TIME:-0.3}")
[ -n "${SMOKE:-}" ] && options=(--smoke)
[ -n "${DEVICE:-}" ] && options+=(--device "$DEVICE") && [ "$DEVICE" = cpu ] && export JAX_PLATFORMS=cpu
mkdir -p "$out"
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
failed=()

# Runs a command for at most $1 seconds, and never beyond the deadline; says how long it took.
step() {
  local name=$1 seconds=$2 left=$((deadline - SECONDS)) start=$SECONDS
  shift 2
  ((left < 10)) && { echo "== $name: no time left"; failed+=("$name"); return; }
  ((seconds > left)) && seconds=$left
  timeout --signal=INT --kill-after=10 "$seconds" "$@" 2>&1 | tee "$out/$name.log"
  local status=${PIPESTATUS[0]}
  echo "== $name: $((SECONDS - start)) s, status $status"
  ((status == 0)) || failed+=("$name")
}

"$python" -c 'import jax; print("devices:", jax.devices(), "JAX", jax.__version__)' || exit 1
step tests 150 "$python" -m pytest -q -p no:cacheprovider tests/house/test_on_device.py
names=(attention moe training decode svd lora)  # then all others
for path in benchmarks/bench_*.py; do
  name=$(basename "$path" .py)
  name=${name#bench_}
  [[ " ${names[*]} " == *" $name "* ]] || names+=("$name")
done
for name in "${names[@]}"; do
  step "$name" 180 "$python" -m minillm bench run "$name" "${options[@]}" --json "$out/$name.json"
done
# At most eight files come back from some machines: the logs go into one.
for log in "$out"/*.log; do
  [ -f "$log" ] && cat "$log" >> "$out/log.txt" && rm "$log"
done
((${#failed[@]} == 0)) || { echo "not finished: ${failed[*]}"; exit 1; }
